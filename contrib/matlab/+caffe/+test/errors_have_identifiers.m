function errors_have_identifiers()
% Errors are MATLAB's, with cafx's messages: what was found, what was expected.

  raises = @caffe.test.raises;
  caffe.test.write_net('net.prototxt');
  net = caffe.Net('net.prototxt', 'test');
  raises('caffe:error', 'nowhere\.prototxt', @() caffe.Net('nowhere.prototxt', 'test'));
  raises('caffe:argument', 'unknown phase: got ''tset'', expected one of train, test', ...
         @() caffe.Net('net.prototxt', 'tset'));
  raises('caffe:argument', 'needs a model file and a phase', @() caffe.Net('net.prototxt'));
  raises('caffe:argument', 'path', @() caffe.Net(5, 'test'));
  raises('caffe:argument', 'class function_handle', @() caffe.Net(@sin, 'test'));
  raises('caffe:argument', 'got \[5 6 3 2\], expected \[6 5 3 2\]', @() net.forward({zeros(5, 6, 3, 2)}));
  raises('caffe:argument', 'got 2 arrays', @() net.forward({1, 2}));
  raises('caffe:argument', 'no cell array', @() net.forward(zeros(6, 5, 3, 2)));
  raises('caffe:argument', 'not a numeric array', @() net.blobs('x').set_data('text'));
  raises('caffe:argument', 'complex', @() net.blobs('x').set_data(1i));
  raises('caffe:argument', 'got ''z'', expected one of conv, x, y', @() net.blobs('z'));
  raises('caffe:argument', 'no such layer', @() net.layers(7));
  raises('caffe:argument', 'got 3, but there are 2 parameters of layer ''ip''', @() net.params('ip', 3));
  raises('caffe:argument', 'got 0', @() net.blob_vec(0));
  raises('caffe:argument', 'shape', @() net.blobs('x').reshape([-1, 2]));
  raises('caffe:argument', 'shape', @() net.blobs('x').reshape(1.5));
  raises('caffe:error', 'net\.prototxt', @() net.copy_from('net.prototxt'));
  raises('caffe:error', 'no_folder', @() net.save(fullfile('no_folder', 'x.caffemodel')));
  raises('caffe:error', '.', @() caffe.io.load_image('net.prototxt'));
  raises('caffe:argument', 'axes', @() caffe.io.write_mean(zeros(2, 2, 2, 2), 'x.binaryproto'));
  raises('caffe:argument', 'whole number', @() caffe.set_device(0.5));
  caffe.test.write_lines('broken.prototxt', {'layer {', '  nome: "x"', '}'});
  raises('caffe:error', 'broken\.prototxt:2', @() caffe.Net('broken.prototxt', 'test'));
  caffe.test.write_solver('solver.prototxt');
  solver = caffe.Solver('solver.prototxt');
  raises('caffe:argument', 'at least 1', @() solver.step(0));
  raises('caffe:error', 'none\.solverstate', @() solver.restore('none.solverstate'));
  assert(isequal(net.blobs('x').shape(), [6, 5, 3, 2]));

  blob = net.blobs('x');
  caffe.reset_all();
  raises('caffe:stale', 'no longer exists', @() net.forward_prefilled());
  raises('caffe:stale', 'no longer exists', @() blob.get_data());
  raises('caffe:stale', 'no longer exists', @() solver.step(1));
end
