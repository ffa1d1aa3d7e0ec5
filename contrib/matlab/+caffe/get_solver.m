function solver = get_solver(solver_file)
% GET_SOLVER  Create a solver.
%
%   solver = caffe.get_solver(solver_file) creates the solver in a prototxt, its net and its test nets.
%
%   See also caffe.Solver.

  solver = caffe.Solver(solver_file);
end
