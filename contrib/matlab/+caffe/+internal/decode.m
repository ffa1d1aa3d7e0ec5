function value = decode(bytes)
% DECODE  The value that bytes contain; the inverse of ENCODE. Cell arrays are columns.

  value = take(bytes, 1);
end

function [value, next] = take(bytes, at)
  switch char(bytes(at))
    case 't'
      [count, at] = take_number(bytes, at + 1, 'uint32');
      value = '';
      if count > 0
        value = native2unicode(bytes(at:at + count - 1), 'UTF-8');
      end
      next = at + count;
    case 'l'
      [count, next] = take_number(bytes, at + 1, 'uint32');
      value = cell(count, 1);
      for index = 1:count
        [value{index}, next] = take(bytes, next);
      end
    otherwise
      [value, next] = take_array(bytes, at + 1);
  end
end

function [array, next] = take_array(bytes, at)
  names = caffe.internal.classes();
  name = names{double(bytes(at)) + 1};
  axes_count = double(bytes(at + 1));
  at = at + 2;
  lengths = ones(1, max(axes_count, 2));
  for axis_index = 1:axes_count
    [lengths(axis_index), at] = take_number(bytes, at, 'uint64');
  end
  is_logical = strcmp(name, 'logical');
  if is_logical
    name = 'uint8';
  end
  next = at + prod(lengths) * numel(typecast(cast(0, name), 'uint8'));
  array = reshape(typecast(bytes(at:next - 1), name), lengths);
  if is_logical
    array = logical(array);
  end
end

function [number, next] = take_number(bytes, at, name)
  next = at + numel(typecast(cast(0, name), 'uint8'));
  number = double(typecast(bytes(at:next - 1), name));
end
