function values_are_the_same_after_a_round_trip()
% Arrays of all classes and numbers of axes, text and cell arrays reach Python and return unchanged.

  sizes = {[0, 0], [1, 1], [1, 0], [5, 1], [1, 5], [4, 3], [4, 3, 2], [4, 1, 1, 2], [2, 3, 4, 5], [3, 2, 2, 3, 2]};
  for name = caffe.internal.classes()
    for shape = sizes
      array = filled(name{1}, shape{1});
      same(array, caffe.internal.call('echo', array));
    end
  end
  same(single([NaN, Inf, -Inf, -0]), caffe.internal.call('echo', single([NaN, Inf, -Inf, -0])));
  same([realmin, realmax, eps], caffe.internal.call('echo', [realmin, realmax, eps]));
  same(intmax('uint64'), caffe.internal.call('echo', intmax('uint64')));
  for text = {'', 'a', 'two words', ['a', char(10), 'b'], native2unicode(uint8([195, 164, 226, 130, 172]), 'UTF-8')}
    assert(strcmp(text{1}, caffe.internal.call('echo', text{1})));
  end
  nested = caffe.internal.call('echo', {1, 'two', {single(3), {}}});
  assert(isequal(nested, {1; 'two'; {single(3); cell(0, 1)}}));
  assert(isequal(caffe.internal.call('echo', sparse([0, 2; 0, 0])), [0, 2; 0, 0]));
  [first, second] = caffe.internal.call('echo', 1, 2);
  assert(first == 1 && second == 2);
end

function array = filled(name, shape)
  count = prod(shape);
  if strcmp(name, 'logical')
    array = reshape(mod(0:count - 1, 3) == 1, shape);
  else
    array = reshape(cast(mod(7 * (0:count - 1), 101), name), shape);
  end
end

function same(expected, found)
  assert(strcmp(class(expected), class(found)), 'class %s, not %s', class(found), class(expected));
  assert(isequal(size(expected), size(found)), 'size %s, not %s', mat2str(size(found)), mat2str(size(expected)));
  assert(isequaln(expected, found), 'other values of class %s and size %s', class(found), mat2str(size(found)));
end
