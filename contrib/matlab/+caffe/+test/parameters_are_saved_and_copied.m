function parameters_are_saved_and_copied()
% Weights files of both forms restore all parameters exactly.

  caffe.test.write_net('net.prototxt');
  net = caffe.Net('net.prototxt', 'test');
  weights = reshape(single(1:72), [3, 2, 3, 4]);
  net.params('conv', 1).set_data(weights);
  for file = {'net.caffemodel', 'net.caffemodel.h5'}
    net.save(file{1});
    other = caffe.Net('net.prototxt', 'test');
    assert(~isequal(other.params('conv', 1).get_data(), weights));
    other.copy_from(file{1});
    assert(isequal(other.params('conv', 1).get_data(), weights));
    assert(isequal(other.params('ip', 1).get_data(), net.params('ip', 1).get_data()));
    third = caffe.Net('net.prototxt', file{1}, 'test');
    assert(isequal(third.params('conv', 1).get_data(), weights));
  end
end
