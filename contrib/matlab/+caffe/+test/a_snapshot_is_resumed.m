function a_snapshot_is_resumed()
% Training that is resumed from a snapshot equals training that was not interrupted.

  caffe.test.write_solver('solver.prototxt');
  solver = caffe.Solver('solver.prototxt');
  [x, t] = caffe.test.regression_data();
  solver.net.blobs('x').set_data(x);
  solver.net.blobs('t').set_data(t);
  solver.step(5);
  solver.snapshot();
  solver.step(5);
  other = caffe.Solver('solver.prototxt');
  other.restore('regression_iter_5.solverstate');
  assert(other.iter() == 5);
  other.net.blobs('x').set_data(x);
  other.net.blobs('t').set_data(t);
  other.step(5);
  assert(isequal(other.net.params('ip', 1).get_data(), solver.net.params('ip', 1).get_data()));
end
