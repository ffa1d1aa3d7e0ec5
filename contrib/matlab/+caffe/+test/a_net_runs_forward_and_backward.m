function a_net_runs_forward_and_backward()
% A convolution and its gradients are what MATLAB computes, which shows that axes are in the right order.

  caffe.test.write_net('net.prototxt');
  net = caffe.Net('net.prototxt', 'test');
  image = single(reshape(sin(1:180), [6, 5, 3, 2]));
  outputs = net.forward({image});
  assert(isequal(size(outputs), [1, 1]) && isequal(size(outputs{1}), [7, 2]));
  weights = double(net.params('conv', 1).get_data());
  assert(isequal(size(weights), [3, 2, 3, 4]));
  expected = zeros(4, 4, 4, 2);
  for item = 1:2
    for output = 1:4
      for channel = 1:3
        kernel = rot90(weights(:, :, channel, output), 2);
        expected(:, :, output, item) = expected(:, :, output, item) + ...
                                       conv2(double(image(:, :, channel, item)), kernel, 'valid');
      end
    end
  end
  found = double(net.blobs('conv').get_data());
  close_to(found, max(expected, 0));

  product = double(net.params('ip', 1).get_data());
  close_to(double(outputs{1}), product' * reshape(found, [], 2));

  top_diff = single(reshape(cos(1:14), [7, 2]));
  diffs = net.backward({top_diff});
  assert(isequal(size(diffs{1}), [6, 5, 3, 2]));
  close_to(double(net.params('ip', 1).get_diff()), reshape(found, [], 2) * double(top_diff)');
  bottom = reshape(product * double(top_diff), 4, 4, 4, 2) .* (found > 0);
  close_to(double(net.params('conv', 2).get_diff()), reshape(sum(sum(sum(bottom, 1), 2), 4), [], 1));

  net.blobs('x').set_data(image / 2);
  net.forward_prefilled();
  close_to(double(net.blobs('y').get_data()), double(outputs{1}) / 2);
  net.blobs('y').set_diff(2 * top_diff);
  net.backward_prefilled();
  close_to(double(net.blobs('x').get_diff()), 2 * double(diffs{1}));
  again = net.forward({[]});
  close_to(double(again{1}), double(outputs{1}) / 2);
end

function close_to(found, expected)
  assert(isequal(size(found), size(expected)), 'size %s, not %s', mat2str(size(found)), mat2str(size(expected)));
  difference = max(abs(found(:) - expected(:)));
  assert(difference < 1e-5 * max(1, max(abs(expected(:)))), 'difference %g', difference);
end
