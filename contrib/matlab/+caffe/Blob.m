classdef Blob < handle
% BLOB  A blob of a net, as net.blobs(name) and net.params(name, index) return it.
%
%   Arrays have the opposite order of axes to Caffe's: a blob of N x C x H x W values is an array of W x H x C x N.
%   They are copied: an array that get_data returned does not change later.
%
%   blob.get_data()                   the values, of class single
%   blob.set_data(array)              set the values; the size must be that of the blob
%   blob.get_diff()                   the gradient
%   blob.set_diff(array)              set the gradient
%   blob.shape()                      the size, such as [28 28 1 64]
%   blob.reshape([28 28 1 10])        change the size; then call net.reshape()
%
%   See also caffe.Net.

  properties (Access = private)
    net
    owner
    index
  end

  methods
    function self = Blob(net, owner, index)
      self.net = net;
      self.owner = owner;
      self.index = index;
    end

    function shape = shape(self)
    % SHAPE  The lengths of the axes, innermost first.
      shape = self.ask('blob_shape');
    end

    function reshape(self, shape)
    % RESHAPE  Change the lengths of the axes, innermost first.
      self.ask('blob_reshape', shape);
    end

    function data = get_data(self)
    % GET_DATA  The values.
      data = self.ask('blob_get', 'data');
    end

    function set_data(self, data)
    % SET_DATA  Set the values.
      self.ask('blob_set', 'data', data);
    end

    function diff = get_diff(self)
    % GET_DIFF  The gradient.
      diff = self.ask('blob_get', 'diff');
    end

    function set_diff(self, diff)
    % SET_DIFF  Set the gradient.
      self.ask('blob_set', 'diff', diff);
    end
  end

  methods (Access = private)
    function varargout = ask(self, name, varargin)
      [varargout{1:nargout}] = caffe.internal.call(name, self.net, self.owner, self.index, varargin{:});
    end
  end
end
