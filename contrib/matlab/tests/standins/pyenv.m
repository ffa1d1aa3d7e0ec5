function environment = pyenv(varargin)
% PYENV  Stands in for MATLAB's, so that Octave runs the lines that are for MATLAB only.

  persistent present
  if isempty(present)
    present = struct('Status', 'NotLoaded', 'ExecutionMode', 'InProcess', 'Version', '');
  end
  for index = 1:2:numel(varargin)
    present.(varargin{index}) = varargin{index + 1};
  end
  environment = present;
end
