classdef io
% IO  Images and mean files.
%
%   image = caffe.io.load_image('cat.jpg')
%   mean_image = caffe.io.read_mean('mean.binaryproto')
%   caffe.io.write_mean(mean_image, 'mean.binaryproto')

  methods (Static)
    function image = load_image(image_file)
    % LOAD_IMAGE  Read an image: W x H x 3 of class single, from 0 to 255, with channels in the order BGR.
      image = caffe.internal.call('load_image', image_file);
    end

    function mean_image = read_mean(mean_file)
    % READ_MEAN  Read a mean image: W x H x C of class single.
      mean_image = caffe.internal.call('read_mean', mean_file);
    end

    function write_mean(mean_image, mean_file)
    % WRITE_MEAN  Write a mean image, W x H x C, to a binaryproto file.
      caffe.internal.call('write_mean', mean_image, mean_file);
    end
  end
end
