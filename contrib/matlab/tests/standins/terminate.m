function terminate(environment)
% TERMINATE  Stands in for MATLAB's, which ends the Python process.

  assert(strcmp(environment.ExecutionMode, 'OutOfProcess'));
  caffe.internal.octave_worker('stop', uint8([]));
end
