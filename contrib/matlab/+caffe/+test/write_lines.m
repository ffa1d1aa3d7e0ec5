function write_lines(file, lines)
% WRITE_LINES  Write a text file.

  handle = fopen(file, 'w');
  fprintf(handle, '%s\n', lines{:});
  fclose(handle);
end
