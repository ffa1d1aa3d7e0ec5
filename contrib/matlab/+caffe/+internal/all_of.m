function values = all_of(get, count)
% ALL_OF  A cell array of get(1), ..., get(count).

  values = cell(1, count);
  for index = 1:count
    values{index} = get(index);
  end
end
