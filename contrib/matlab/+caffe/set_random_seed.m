function set_random_seed(seed)
% SET_RANDOM_SEED  Set the random seed of nets and solvers created from now on.
%
%   caffe.set_random_seed(1) makes fillers, dropout and the order of data repeatable. A random_seed in a solver's
%   file comes first.

  caffe.internal.call('set_random_seed', seed);
end
