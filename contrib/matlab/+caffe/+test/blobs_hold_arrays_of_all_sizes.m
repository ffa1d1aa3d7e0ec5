function blobs_hold_arrays_of_all_sizes()
% What set_data and set_diff write, get_data and get_diff return, in blobs of 0 to 5 axes.

  caffe.test.write_lines('blob.prototxt', {'layer { name: "in" type: "Input" top: "x" }'});
  net = caffe.Net('blob.prototxt', 'test');
  blob = net.blobs('x');
  shapes = {[], 5, [5, 1], [1, 5], [4, 3], [4, 3, 2], [2, 3, 4, 5], [28, 28, 1, 1], [1, 1, 3, 1], [3, 2, 2, 3, 2], 0};
  for each = shapes
    shape = each{1};
    blob.reshape(shape);
    assert(isequal(blob.shape(), reshape(shape, 1, [])), 'shape %s', mat2str(blob.shape()));
    array = reshape(single(1:prod(shape)) / 4, [shape, ones(1, 2 - numel(shape))]);
    blob.set_data(array);
    assert(isa(blob.get_data(), 'single'));
    assert(isequal(blob.get_data(), array), 'data of shape %s', mat2str(shape));
    blob.set_diff(-double(array));
    assert(isequal(blob.get_diff(), -array), 'diff of shape %s', mat2str(shape));
    assert(isequal(blob.get_data(), array), 'data after set_diff, of shape %s', mat2str(shape));
  end
  blob.reshape([2, 2]);
  of_other_classes = {uint8([1, 2; 3, 4]), int32([1, 2; 3, 4]), logical([1, 0; 0, 1]), sparse([1, 0; 0, 4])};
  for value = [of_other_classes, {[0.1, 0.2; 0.3, 1e300]}]
    blob.set_data(value{1});
    assert(isequal(blob.get_data(), single(full(value{1}))), 'class %s', class(value{1}));
  end
end
