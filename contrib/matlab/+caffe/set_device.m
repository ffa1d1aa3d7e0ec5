function set_device(device)
% SET_DEVICE  Choose the GPU for nets and solvers created from now on.
%
%   caffe.set_device(0) chooses the first GPU.
%
%   See also caffe.set_mode_gpu.

  caffe.internal.call('set_device', device);
end
