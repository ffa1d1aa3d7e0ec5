function net = get_net(varargin)
% GET_NET  Create a net.
%
%   net = caffe.get_net(model_file, phase) creates the net in a prototxt for the phase 'train' or 'test'.
%   net = caffe.get_net(model_file, weights_file, phase) also copies its parameters from a weights file.
%
%   See also caffe.Net.

  net = caffe.Net(caffe.internal.net_fields(caffe.internal.create_net(varargin{:})));
end
