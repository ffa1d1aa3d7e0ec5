function a_solver_trains_by_steps()
% A linear regression finds the coefficients of its data; the test net shares the parameters.

  caffe.test.write_solver('solver.prototxt');
  solver = caffe.get_solver('solver.prototxt');
  [x, t] = caffe.test.regression_data();
  solver.net.blobs('x').set_data(x);
  solver.net.blobs('t').set_data(t);
  assert(solver.iter() == 0 && solver.max_iter() == 40);
  solver.step(1);
  first_loss = solver.net.blobs('loss').get_data();
  solver.step(19);
  assert(solver.iter() == 20);
  solver.solve();
  assert(solver.iter() == 40);
  assert(solver.net.blobs('loss').get_data() < 0.1 * first_loss);
  assert(numel(solver.test_nets) == 1);
  test_net = solver.test_nets(1);
  assert(isequal(test_net.params('ip', 1).get_data(), solver.net.params('ip', 1).get_data()));
  test_net.blobs('x').set_data(x);
  test_net.blobs('t').set_data(t);
  test_net.forward_prefilled();
  assert(test_net.blobs('loss').get_data() < 0.1 * first_loss);
end
