function answer = matlab_python(action, request)
% MATLAB_PYTHON  Call the gateway in MATLAB's Python process.

  mlock();
  persistent is_ready
  answer = uint8([]);
  if strcmp(action, 'stop')
    if ~isempty(is_ready)
      terminate(pyenv());
      is_ready = [];
    end
    return
  end
  if isempty(is_ready)
    start();
    is_ready = true;
  end
  try
    answer = uint8(py.caffe.gateway.call(py.bytes(request)));
  catch cause
    is_ready = [];
    error('caffe:worker', ['the Python process does not answer (%s); nets and solvers may be gone with it. ', ...
                           'Create them again'], cause.message);
  end
  answer = reshape(answer, 1, []);
end

function start()
% Load Python out of process, unless the user has loaded it.
  environment = pyenv();
  if ~strcmp(char(environment.Status), 'Loaded')
    pyenv('Version', caffe.internal.chosen_python(), 'ExecutionMode', 'OutOfProcess');
  elseif ~strcmp(char(environment.ExecutionMode), 'OutOfProcess')
    error('caffe:worker', ['Python is loaded in MATLAB''s own process, where its libraries clash with MATLAB''s. ', ...
                           'Restart MATLAB and begin with pyenv(''ExecutionMode'', ''OutOfProcess'')']);
  end
  try
    py.importlib.import_module('caffe.gateway');
  catch cause
    caffe.internal.raise_no_python(cause.message);
  end
end
