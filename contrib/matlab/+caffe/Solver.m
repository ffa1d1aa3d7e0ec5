classdef Solver < handle
% SOLVER  Trains a net.
%
%   solver = caffe.Solver(solver_file) creates the solver in a prototxt, its net and its test nets.
%
%   solver.net                        the training net, a caffe.Net
%   solver.test_nets(1)               the first test net
%   solver.step(100)                  run 100 iterations
%   solver.solve()                    train until max_iter
%
%   Example:
%     solver = caffe.Solver('lenet_solver.prototxt');
%     solver.step(1);
%     loss = solver.net.blobs('loss').get_data();
%
%   Ctrl-C stops training after the present iteration; solver.step(n) continues.
%
%   See also caffe.Net.

  properties (SetAccess = private)
    net  % the training net
  end

  properties (Access = private)
    number
    all_test_nets
  end

  methods
    function self = Solver(solver_file)
      [self.number, net, test_nets] = caffe.internal.call('get_solver', solver_file);
      self.net = caffe.Net(caffe.internal.net_fields(net));
      self.all_test_nets = cell(1, numel(test_nets));
      for index = 1:numel(test_nets)
        self.all_test_nets{index} = caffe.Net(caffe.internal.net_fields(test_nets{index}));
      end
    end

    function nets = test_nets(self, index)
    % TEST_NETS  The test net at an index, or a cell array of all.
      nets = self.all_test_nets;
      if nargin > 1
        caffe.internal.check_index(index, numel(nets), 'test nets');
        nets = nets{index};
      end
    end

    function count = iter(self)
    % ITER  The number of completed iterations.
      count = caffe.internal.call('solver_iter', self.number);
    end

    function count = max_iter(self)
    % MAX_ITER  The number of iterations that solve() completes.
      count = caffe.internal.call('solver_max_iter', self.number);
    end

    function step(self, iterations)
    % STEP  Run a number of iterations.
      caffe.internal.call('solver_step', self.number, iterations);
    end

    function solve(self)
    % SOLVE  Train until max_iter.
      caffe.internal.call('solver_solve', self.number);
    end

    function restore(self, snapshot_file)
    % RESTORE  Restore the solver from a .solverstate file and its weights.
      caffe.internal.call('solver_restore', self.number, snapshot_file);
    end

    function snapshot(self)
    % SNAPSHOT  Save the weights and the solver's state, under the snapshot_prefix of its file.
      caffe.internal.call('solver_snapshot', self.number);
    end
  end
end
