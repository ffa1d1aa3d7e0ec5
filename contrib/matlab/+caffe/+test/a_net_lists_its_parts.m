function a_net_lists_its_parts()
% Names, indices, layers and parameters of a net.

  caffe.test.write_net('net.prototxt');
  net = caffe.get_net('net.prototxt', 'test');
  assert(isequal(net.inputs, {'x'}) && isequal(net.outputs, {'y'}));
  assert(isequal(net.layer_names(:)', {'in', 'conv', 'relu', 'ip'}));
  assert(isequal(net.blob_names(:)', {'x', 'conv', 'y'}));
  assert(net.name2layer_index('ip') == 4 && net.name2blob_index('conv') == 2);
  assert(strcmp(net.layers('conv').type(), 'Convolution') && strcmp(net.layer_vec(4).type(), 'InnerProduct'));
  assert(numel(net.layer_vec) == 4 && numel(net.blob_vec) == 3);
  assert(numel(net.layers('conv').params()) == 2 && isempty(net.layers('relu').params()));
  assert(isequal(net.layer_vec(2).params(1).shape(), [3, 2, 3, 4]));
  assert(isequal(net.params('conv', 2).shape(), 4));
  assert(isequal(net.blob_vec(1).shape(), [6, 5, 3, 2]));
  assert(~isempty(regexp(caffe.version(), '^\d+\.\d+\.\d+$', 'once')));
end
