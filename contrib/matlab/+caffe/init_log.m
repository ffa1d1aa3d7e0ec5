function init_log(log_base_filename)
% INIT_LOG  Write Caffe's log to a file instead of the terminal.
%
%   caffe.init_log('run/log_') writes to run/log_, followed by date, time and process number.
%   caffe.init_log('') writes to the terminal again.

  caffe.internal.call('init_log', log_base_filename);
end
