function paths_are_relative_to_the_present_folder()
% A relative path means the folder that MATLAB is in when the call is made.

  mkdir('inner');
  cd('inner');
  caffe.test.write_net('net.prototxt');
  net = caffe.Net('net.prototxt', 'test');
  cd('..');
  caffe.test.raises('caffe:error', 'net\.prototxt', @() caffe.Net('net.prototxt', 'test'));
  net.save('saved.caffemodel');
  assert(exist(fullfile(pwd(), 'saved.caffemodel'), 'file') == 2);
  delete(fullfile('inner', '*'));
  rmdir('inner');
end
