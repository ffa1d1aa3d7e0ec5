function check_index(index, count, what)
% CHECK_INDEX  Raise an error unless an index is a whole number from 1 to count.

  if ~isnumeric(index) || ~isscalar(index) || index ~= floor(index) || index < 1 || index > count
    error('caffe:argument', 'no such index: got %s, but there are %d %s', mat2str(index), count, what);
  end
end
