function set_mode_gpu()
% SET_MODE_GPU  Create nets and solvers on the GPU from now on.
%
%   caffe.set_mode_gpu() chooses the fastest installed engine for GPUs. Without one, nets are created on the CPU, and
%   the log says so once.
%
%   See also caffe.set_device, caffe.set_mode_cpu.

  caffe.internal.call('set_mode_gpu');
end
