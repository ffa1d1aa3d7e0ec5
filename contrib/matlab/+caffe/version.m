function version_str = version()
% VERSION  The version of Caffe that has this interface.
%
%   version_str = caffe.version() returns '1.0.0'.

  version_str = caffe.internal.call('version');
end
