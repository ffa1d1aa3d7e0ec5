function path = chosen_python(path)
% CHOSEN_PYTHON  Set or return the Python that runs the nets.

  persistent chosen
  if nargin > 0
    if ~ischar(path) || isempty(path)
      error('caffe:argument', 'caffe.python needs the path of a Python');
    end
    chosen = path;
  end
  path = chosen;
  if isempty(path)
    path = getenv('CAFX_PYTHON');
  end
  if isempty(path)
    path = 'python3';
    if ispc()
      path = 'python';
    end
  end
end
