function a_net_takes_another_batch_size()
% After reshape, a net runs on more images; each has the scores that it had before.

  caffe.test.write_net('net.prototxt');
  net = caffe.Net('net.prototxt', 'test');
  image = single(reshape(sin(1:180), [6, 5, 3, 2]));
  few = net.forward({image});
  net.blobs('x').reshape([6, 5, 3, 4]);
  net.reshape();
  assert(isequal(net.blobs('y').shape(), [7, 4]));
  many = net.forward({cat(4, image, image)});
  assert(max(max(abs(many{1} - [few{1}, few{1}]))) < 1e-5);
end
