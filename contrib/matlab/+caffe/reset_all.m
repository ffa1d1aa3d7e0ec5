function reset_all()
% RESET_ALL  Remove all nets and solvers.
%
%   caffe.reset_all() frees their memory. Objects that refer to them (caffe.Net, caffe.Blob, ...) raise an error with
%   the identifier caffe:stale when they are used afterwards.

  caffe.internal.call('reset_all');
end
