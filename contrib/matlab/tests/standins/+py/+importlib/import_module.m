function import_module(name)
% IMPORT_MODULE  Stands in for Python's.

  assert(strcmp(name, 'caffe.gateway'));
  environment = pyenv();
  assert(strcmp(environment.ExecutionMode, 'OutOfProcess'));
end
