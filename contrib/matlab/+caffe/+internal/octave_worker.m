function answer = octave_worker(action, request)
% OCTAVE_WORKER  Exchange messages with a worker process, in Octave.
%
%   The worker is `python -m caffe.gateway`. An exchange that Ctrl-C interrupts leaves a part of a message in the
%   pipes; the next one lets the worker discard it (see caffe/gateway/worker.py), so that its nets survive. They
%   also survive `clear all`.

  mlock();
  persistent worker
  if isempty(worker)
    worker = struct('state', 'absent');
  end
  answer = uint8([]);
  switch worker.state
    case 'busy'
      worker.state = 'resynchronising';
      resynchronise(worker);
      worker.state = 'idle';
    case {'starting', 'resynchronising'}
      finish(worker);
      worker.state = 'absent';
  end
  if strcmp(action, 'stop')
    if strcmp(worker.state, 'idle')
      finish(worker);
      worker.state = 'absent';
    end
    return
  end
  try
    if strcmp(worker.state, 'absent')
      [worker.to, worker.from, worker.process] = start();
      worker.state = 'starting';
      receive(worker);
    end
    worker.state = 'busy';
    send(worker, request);
    answer = receive(worker);
    worker.state = 'idle';
  catch cause
    was_starting = strcmp(worker.state, 'starting');
    status = finish(worker);
    worker.state = 'absent';
    if ~strcmp(cause.identifier, 'caffe:ended')
      rethrow(cause);
    end
    raise_ended(was_starting, status);
  end
end

function [to, from, process] = start()
  [to, from, process] = popen2(caffe.internal.chosen_python(), {'-P', '-m', 'caffe.gateway'}, true);
end

function send(worker, request)
  fwrite(worker.to, typecast(uint64(numel(request)), 'uint8'), 'uint8');
  fwrite(worker.to, request, 'uint8');
  fflush(worker.to);
end

function bytes = receive(worker)
  count = double(typecast(read_bytes(worker, 8), 'uint64'));
  bytes = read_bytes(worker, count);
end

function bytes = read_bytes(worker, count)
  bytes = reshape(fread(worker.from, count, 'uint8=>uint8'), 1, []);
  if numel(bytes) < count
    error('caffe:ended', 'the Python process has ended');
  end
end

function resynchronise(worker)
  mark = uint8('caffe.gateway: messages begin here');
  block = 4096;
  signals = SIG();
  kill(worker.process, signals.USR1);
  seen = zeros(1, 0, 'uint8');
  place = [];
  while isempty(place)
    seen = [seen(max(1, end - numel(mark) + 1):end), read_bytes(worker, block)];
    place = strfind(char(seen), char(mark));
  end
  read_bytes(worker, block - (numel(seen) - (place(end) + numel(mark) - 1)));
end

function status = finish(worker)
% Close the pipes, which ends the worker; after a second, kill it.
  fclose(worker.to);
  fclose(worker.from);
  [ended, status] = waitpid(worker.process, WNOHANG());
  tries = 0;
  while ended == 0 && tries < 100
    pause(0.01);
    tries = tries + 1;
    [ended, status] = waitpid(worker.process, WNOHANG());
  end
  if ended == 0
    signals = SIG();
    kill(worker.process, signals.KILL);
    [ended, status] = waitpid(worker.process);
  end
end

function raise_ended(was_starting, status)
  how = sprintf('signal %d', WTERMSIG(status));
  if WIFEXITED(status)
    how = sprintf('exit status %d', WEXITSTATUS(status));
  end
  if was_starting
    caffe.internal.raise_no_python(how);
  end
  error('caffe:worker', ['the Python process has ended (%s); nets and solvers are gone with it. ', ...
                         'Create them again'], how);
end
