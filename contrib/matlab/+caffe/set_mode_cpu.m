function set_mode_cpu()
% SET_MODE_CPU  Create nets and solvers on the CPU from now on.
%
%   caffe.set_mode_cpu() chooses the fastest installed engine for CPUs. This is the default where there is no GPU.
%
%   See also caffe.set_mode_gpu.

  caffe.internal.call('set_mode_cpu');
end
