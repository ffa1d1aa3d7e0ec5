function value = bytes(value)
% BYTES  Stands in for Python's bytes.

  assert(isa(value, 'uint8') && size(value, 1) == 1);
end
