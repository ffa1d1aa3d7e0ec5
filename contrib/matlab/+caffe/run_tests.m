function failed = run_tests()
% RUN_TESTS  Test this interface, in a temporary folder.
%
%   failed = caffe.run_tests() prints a line for each test and returns the number of those that failed. All nets and
%   solvers are removed.

  tests = {@caffe.test.values_are_the_same_after_a_round_trip, @caffe.test.blobs_hold_arrays_of_all_sizes, ...
           @caffe.test.a_net_runs_forward_and_backward, @caffe.test.a_net_lists_its_parts, ...
           @caffe.test.a_net_takes_another_batch_size, @caffe.test.parameters_are_saved_and_copied, ...
           @caffe.test.a_solver_trains_by_steps, @caffe.test.a_snapshot_is_resumed, ...
           @caffe.test.images_and_means_are_read, @caffe.test.errors_have_identifiers, ...
           @caffe.test.paths_are_relative_to_the_present_folder, @caffe.test.the_log_goes_to_a_file};
  failed = 0;
  home = pwd();
  for index = 1:numel(tests)
    name = strrep(func2str(tests{index}), 'caffe.test.', '');
    folder = tempname();
    mkdir(folder);
    cd(folder);
    caffe.reset_all();
    caffe.set_mode_cpu();
    caffe.set_random_seed(1);
    try
      tests{index}();
      fprintf('ok      %s\n', name);
    catch cause
      failed = failed + 1;
      fprintf('FAILED  %s: %s\n', name, cause.message);
    end
    cd(home);
    remove(folder);
  end
  caffe.reset_all();
  fprintf('%d of %d tests failed\n', failed, numel(tests));
end

function remove(folder)
% Remove a folder of files.
  for entry = reshape(dir(folder), 1, [])
    if ~entry.isdir
      delete(fullfile(folder, entry.name));
    end
  end
  rmdir(folder);
end
