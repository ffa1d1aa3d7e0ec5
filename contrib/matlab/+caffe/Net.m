classdef Net < handle
% NET  A net.
%
%   net = caffe.Net(model_file, phase) creates the net in a prototxt for the phase 'train' or 'test'.
%   net = caffe.Net(model_file, weights_file, phase) also copies its parameters from a weights file.
%
%   Arrays have the opposite order of axes to Caffe's: a blob of N x C x H x W values is an array of W x H x C x N.
%
%   net.forward({image})              scores for the inputs, in a cell array
%   net.blobs('data')                 the blob of this name, a caffe.Blob
%   net.params('conv1', 1)            the first parameter blob of a layer: its weights
%   net.layers('conv1')               the layer of this name, a caffe.Layer
%
%   Example:
%     net = caffe.Net('deploy.prototxt', 'model.caffemodel', 'test');
%     scores = net.forward({image});
%
%   See also caffe.Blob, caffe.Solver.

  properties (SetAccess = private)
    inputs            % names of the input blobs
    outputs           % names of the output blobs
    layer_names       % names of the layers, in order
    blob_names        % names of the blobs, in order
    name2layer_index  % index of each layer by name, a containers.Map
    name2blob_index   % index of each blob by name, a containers.Map
  end

  properties (Access = private)
    number
    layer_types
    param_counts
  end

  methods
    function self = Net(varargin)
      if numel(varargin) == 1 && isstruct(varargin{1})
        fields = varargin{1};
      else
        fields = caffe.internal.net_fields(caffe.internal.create_net(varargin{:}));
      end
      self.number = fields.number;
      self.inputs = fields.inputs;
      self.outputs = fields.outputs;
      self.layer_names = fields.layer_names;
      self.layer_types = fields.layer_types;
      self.blob_names = fields.blob_names;
      self.param_counts = fields.param_counts;
      self.name2layer_index = caffe.internal.index_of(self.layer_names);
      self.name2blob_index = caffe.internal.index_of(self.blob_names);
    end

    function layer = layers(self, layer_name)
    % LAYERS  The layer of this name.
      layer = self.layer_vec(caffe.internal.position_of(self.name2layer_index, layer_name, 'layer'));
    end

    function blob = blobs(self, blob_name)
    % BLOBS  The blob of this name.
      blob = self.blob_vec(caffe.internal.position_of(self.name2blob_index, blob_name, 'blob'));
    end

    function blob = params(self, layer_name, blob_index)
    % PARAMS  A parameter blob of a layer: the weights have index 1, the bias mostly 2.
      blob = self.layers(layer_name).params(blob_index);
    end

    function layer = layer_vec(self, index)
    % LAYER_VEC  The layer at an index, or a cell array of all.
      if nargin < 2
        layer = caffe.internal.all_of(@(index) self.layer_vec(index), numel(self.layer_names));
        return
      end
      caffe.internal.check_index(index, numel(self.layer_names), 'layers');
      layer = caffe.Layer(self.number, self.layer_names{index}, self.layer_types{index}, self.param_counts(index));
    end

    function blob = blob_vec(self, index)
    % BLOB_VEC  The blob at an index, or a cell array of all.
      if nargin < 2
        blob = caffe.internal.all_of(@(index) self.blob_vec(index), numel(self.blob_names));
        return
      end
      caffe.internal.check_index(index, numel(self.blob_names), 'blobs');
      blob = caffe.Blob(self.number, self.blob_names{index}, 0);
    end

    function outputs = forward(self, inputs)
    % FORWARD  Run the forward pass.
    %
    %   outputs = net.forward({array1, array2, ...}) copies an array to each input, unless it is empty, and returns a
    %   cell array of the outputs.
      outputs = caffe.internal.call('net_forward', self.number, inputs);
    end

    function diffs = backward(self, output_diffs)
    % BACKWARD  Run the backward pass.
    %
    %   diffs = net.backward({array1, array2, ...}) copies a gradient to each output, unless it is empty, and returns
    %   a cell array of the gradients of the inputs.
      diffs = caffe.internal.call('net_backward', self.number, output_diffs);
    end

    function forward_prefilled(self)
    % FORWARD_PREFILLED  Run the forward pass with the inputs that the blobs hold.
      caffe.internal.call('net_forward_prefilled', self.number);
    end

    function backward_prefilled(self)
    % BACKWARD_PREFILLED  Run the backward pass with the gradients that the outputs' blobs hold.
      caffe.internal.call('net_backward_prefilled', self.number);
    end

    function copy_from(self, weights_file)
    % COPY_FROM  Copy parameters from a weights file, by layer name.
      caffe.internal.call('net_copy_from', self.number, weights_file);
    end

    function reshape(self)
    % RESHAPE  Propagate the inputs' changed shapes through the net.
      caffe.internal.call('net_reshape', self.number);
    end

    function save(self, weights_file)
    % SAVE  Save the parameters as a caffemodel or, if the name ends with .h5, as HDF5.
      caffe.internal.call('net_save', self.number, weights_file);
    end
  end
end
