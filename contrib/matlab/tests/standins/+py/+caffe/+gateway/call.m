function answer = call(request)
% CALL  Stands in for the gateway in MATLAB's Python process.

  answer = caffe.internal.octave_worker('exchange', request);
end
