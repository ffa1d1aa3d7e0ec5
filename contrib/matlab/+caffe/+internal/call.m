function varargout = call(name, varargin)
% CALL  Send a request to the gateway and return its results.
%
%   Raises its error, with identifier and message, if the request fails.

  request = caffe.internal.encode([{name, pwd()}, varargin]);
  answer = caffe.internal.decode(caffe.internal.transport('exchange', request));
  if strcmp(answer{1}, 'error')
    error(answer{2}, '%s', answer{3});
  end
  varargout = reshape(answer(2:end), 1, []);
end
