function [scores, best] = classification_demo(image_file, model_file, weights_file, labels_file)
% CLASSIFICATION_DEMO  Classify an image by a net that was trained on ImageNet.
%
%   [scores, best] = classification_demo(image_file, model_file, weights_file, labels_file) returns the score of each
%   class, averaged over ten crops of the image, and the index of the highest. It prints the five best classes.
%
%   The net has one input, of square images less the mean pixel in the order BGR, such as SqueezeNet's. The labels
%   file names a class per line.
%
%   Example:
%     classification_demo('cat.jpg', 'deploy.prototxt', 'squeezenet.caffemodel', 'synset_words.txt');

  net = caffe.Net(model_file, weights_file, 'test');
  input = net.blobs(net.inputs{1});
  input_size = input.shape();
  input.reshape([input_size(1:3), 10]);
  net.reshape();

  image = caffe.io.load_image(image_file);
  outputs = net.forward({ten_crops(image, input_size(1))});
  scores = mean(reshape(outputs{1}, [], 10), 2);

  labels = strsplit(strtrim(fileread(labels_file)), sprintf('\n'));
  [sorted, order] = sort(scores, 'descend');
  best = order(1);
  for rank = 1:5
    fprintf('%.4f  %s\n', sorted(rank), labels{order(rank)});
  end
end

function crops = ten_crops(image, side)
% The four corners and the centre of the image, resized to 256 x 256 and less its mean pixel, and their mirror images.
  image = resized(image, 256) - reshape(single([104, 117, 123]), 1, 1, 3);
  last = 256 - side;
  offsets = [0, 0; 0, last; last, 0; last, last; floor(last / 2), floor(last / 2)];
  crops = zeros(side, side, 3, 10, 'single');
  for index = 1:5
    columns = offsets(index, 1) + (1:side);
    rows = offsets(index, 2) + (1:side);
    crops(:, :, :, index) = image(columns, rows, :);
    crops(:, :, :, index + 5) = image(columns(end:-1:1), rows, :);
  end
end

function output = resized(image, side)
% Bilinear interpolation to side x side pixels.
  [width, height, channels] = size(image);
  columns = linspace(1, width, side);
  rows = linspace(1, height, side);
  output = zeros(side, side, channels, 'single');
  for channel = 1:channels
    output(:, :, channel) = interp2(image(:, :, channel), rows, columns');
  end
end
