function index = position_of(map, name, what)
% POSITION_OF  The index of a name, or an error that lists the known names.

  if isa(name, 'string')
    name = char(name);
  end
  if ~ischar(name) || ~isKey(map, name)
    shown = class(name);
    if ischar(name)
      shown = ['''' name ''''];
    end
    error('caffe:argument', 'no such %s: got %s, expected one of %s', what, shown, strjoin(keys(map), ', '));
  end
  index = map(name);
end
