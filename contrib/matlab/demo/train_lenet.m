function [losses, accuracy] = train_lenet(solver_file, iterations)
% TRAIN_LENET  Train a net step by step, looking at its loss and at its accuracy on the test net.
%
%   [losses, accuracy] = train_lenet(solver_file, iterations) returns the loss of each iteration and the final
%   accuracy, averaged over ten test batches.
%
%   Example, in contrib/examples/mnist after `python mnist_data.py`:
%     [losses, accuracy] = train_lenet('lenet_solver.prototxt', 1000);
%     plot(losses);

  solver = caffe.Solver(solver_file);
  losses = zeros(1, iterations);
  for iteration = 1:iterations
    solver.step(1);
    losses(iteration) = solver.net.blobs('loss').get_data();
  end
  test_net = solver.test_nets(1);
  scores = zeros(1, 10);
  for batch = 1:10
    test_net.forward_prefilled();
    scores(batch) = test_net.blobs('accuracy').get_data();
  end
  accuracy = mean(scores);
end
