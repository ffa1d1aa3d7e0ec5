function description = create_net(model_file, varargin)
% CREATE_NET  Create a net and return the gateway's description of it.

  switch numel(varargin)
    case 1
      description = caffe.internal.call('get_net', model_file, varargin{1});
    case 2
      description = caffe.internal.call('get_net', model_file, varargin{2}, varargin{1});
    otherwise
      error('caffe:argument', 'a net needs a model file and a phase, or a model file, a weights file and a phase');
  end
end
