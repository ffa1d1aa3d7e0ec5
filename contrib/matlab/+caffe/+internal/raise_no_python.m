function raise_no_python(reason)
% RAISE_NO_PYTHON  Raise the error that there is no Python to run nets.

  here = fileparts(mfilename('fullpath'));
  pycaffe = fullfile(fileparts(fileparts(fileparts(here))), 'pycaffe');
  error('caffe:worker', ['''%s'' cannot run nets (%s). Choose a Python 3.11 or newer that has cafx-pycaffe, by ', ...
                         'caffe.python(''...'') or the environment variable CAFX_PYTHON; to install it: ', ...
                         'uv pip install -e %s'], caffe.internal.chosen_python(), reason, pycaffe);
end
