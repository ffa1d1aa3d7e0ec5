function bytes = encode(value)
% ENCODE  A text, an array, or a cell array of such values as bytes; see caffe/gateway/wire.py for the format.

  if isa(value, 'string') && isscalar(value)
    value = char(value);
  end
  if ischar(value)
    bytes = encode_text(value);
  elseif iscell(value)
    parts = cell(1, numel(value));
    for index = 1:numel(value)
      parts{index} = caffe.internal.encode(value{index});
    end
    bytes = [uint8('l'), typecast(uint32(numel(value)), 'uint8'), parts{:}];
  elseif isnumeric(value) || islogical(value)
    bytes = encode_array(value);
  else
    error('caffe:argument', 'got an argument of class %s, expected text, numbers or a cell array', class(value));
  end
end

function bytes = encode_text(text)
  if size(text, 1) > 1
    error('caffe:argument', 'expected one line of text, got %d', size(text, 1));
  end
  content = zeros(1, 0, 'uint8');
  if ~isempty(text)
    content = reshape(unicode2native(text, 'UTF-8'), 1, []);
  end
  bytes = [uint8('t'), typecast(uint32(numel(content)), 'uint8'), content];
end

function bytes = encode_array(array)
  if ~isreal(array)
    error('caffe:argument', 'expected real numbers, got complex ones');
  end
  array = full(array);
  code = uint8(find(strcmp(class(array), caffe.internal.classes())) - 1);
  lengths = typecast(uint64(size(array)), 'uint8');
  if islogical(array)
    array = uint8(array);
  end
  content = typecast(reshape(array, 1, []), 'uint8');
  bytes = [uint8('a'), code, uint8(ndims(array)), lengths, content];
end
