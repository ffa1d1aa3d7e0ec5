function path = python(path)
% PYTHON  Choose the Python that runs the nets.
%
%   caffe.python('/home/me/venv/bin/python') chooses a Python, 3.11 or newer, in which cafx-pycaffe is installed. The
%   default is the environment variable CAFX_PYTHON or, without it, the python3 on the PATH. Nets and solvers that
%   another Python runs are removed.
%
%   path = caffe.python() returns the present choice.

  if nargin > 0
    caffe.internal.transport('stop');
    caffe.internal.chosen_python(path);
  end
  path = caffe.internal.chosen_python();
end
