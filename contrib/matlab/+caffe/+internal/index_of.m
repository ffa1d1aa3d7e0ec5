function map = index_of(names)
% INDEX_OF  A map from names to their indices.

  map = containers.Map('KeyType', 'char', 'ValueType', 'double');
  for index = 1:numel(names)
    map(names{index}) = index;
  end
end
