function the_log_goes_to_a_file()
% After init_log, a file has the lines of training, until the log goes to the terminal again.

  caffe.init_log(fullfile(pwd(), 'log_'));
  caffe.test.write_solver('solver.prototxt');
  solver = caffe.Solver('solver.prototxt');
  solver.step(1);
  files = dir('log_*');
  assert(numel(files) == 1);
  caffe.init_log('');
  written = fileread(files(1).name);
  assert(~isempty(strfind(written, 'Iteration 0')));
end
