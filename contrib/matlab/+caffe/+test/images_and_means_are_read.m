function images_and_means_are_read()
% An image has width, height and BGR as axes; a mean that is written is read again.

  rgb = uint8(reshape(1:18, [3, 3, 2]));
  handle = fopen('image.ppm', 'w');
  fprintf(handle, 'P6\n3 2\n255\n');
  fwrite(handle, rgb, 'uint8');
  fclose(handle);
  image = caffe.io.load_image('image.ppm');
  assert(isa(image, 'single') && isequal(image, single(permute(rgb([3, 2, 1], :, :), [2, 3, 1]))));
  caffe.io.write_mean(image, 'mean.binaryproto');
  assert(isequal(caffe.io.read_mean('mean.binaryproto'), image));
end
