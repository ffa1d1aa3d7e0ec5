classdef Layer < handle
% LAYER  A layer of a net, as net.layers(name) returns it.
%
%   layer.type()                      its type, such as 'Convolution'
%   layer.params(1)                   its first parameter blob, a caffe.Blob
%   layer.params()                    a cell array of all
%
%   See also caffe.Net, caffe.Blob.

  properties (Access = private)
    net
    name
    layer_type
    param_count
  end

  methods
    function self = Layer(net, name, layer_type, param_count)
      self.net = net;
      self.name = name;
      self.layer_type = layer_type;
      self.param_count = param_count;
    end

    function layer_type = type(self)
    % TYPE  The layer's type.
      layer_type = self.layer_type;
    end

    function blob = params(self, index)
    % PARAMS  The parameter blob at an index, or a cell array of all.
      if nargin < 2
        blob = caffe.internal.all_of(@(index) self.params(index), self.param_count);
        return
      end
      caffe.internal.check_index(index, self.param_count, sprintf('parameters of layer ''%s''', self.name));
      blob = caffe.Blob(self.net, self.name, index);
    end
  end
end
