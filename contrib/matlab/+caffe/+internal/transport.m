function answer = transport(action, request)
% TRANSPORT  How requests reach the gateway: in MATLAB through its Python process, in Octave through a worker process.
%
%   answer = transport('exchange', request) sends a request and returns the answer, both of class uint8.
%   transport('stop') ends the process; the next request starts another one.
%   transport('use', name) chooses 'matlab' or 'octave', to test the one on the other.

  persistent kind
  if isempty(kind)
    kind = 'matlab';
    if exist('OCTAVE_VERSION', 'builtin')
      kind = 'octave';
    end
  end
  answer = uint8([]);
  if strcmp(action, 'use')
    kind = request;
    return
  end
  if nargin < 2
    request = uint8([]);
  end
  if strcmp(kind, 'octave')
    answer = caffe.internal.octave_worker(action, request);
  else
    answer = caffe.internal.matlab_python(action, request);
  end
end
