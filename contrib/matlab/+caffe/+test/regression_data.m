function [x, t] = regression_data()
% REGRESSION_DATA  Eight points of 3 variables, 3 x 8, and their targets, 1 x 8.

  x = single(reshape(sin(1:24), [3, 8]));
  t = single([1, -2, 3]) * x + 0.5;
end
