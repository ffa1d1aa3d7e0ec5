"""Executor ``local``: processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from cafx_lib_jobs.executor import Done, Executor, Lost, Work
from cafx_lib_jobs.hold import Hold
from cafx_lib_jobs.memory import keep_memory

if TYPE_CHECKING:
    from cafx.conformance.kinds.executor import ExecutorCase

SECONDS_TO_END = 5
_context = multiprocessing.get_context("spawn")
_waiting = threading.Lock()
"""Held where processes are started or waited for: of two threads that wait for one, the second takes it for alive."""


class Local(Executor):
    """Runs tasks in fresh processes; with 0 or 1 workers, in this process.

    Each process gets its tasks from a thread of this one, which waits for it. A process ends when this one does.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__(os.cpu_count() or 1 if workers is None else max(1, workers), address)
        self._hold = Hold()
        self._workers: list[_Worker] = []

    def start(self) -> None:
        """Start the processes."""
        if self.workers > 1:
            cores = max(1, (os.cpu_count() or 1) // self.workers)
            self._workers = [_Worker(cores) for _ in range(self.workers)]

    def map(self, function: Work, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        """See `Executor`."""
        if not self._workers:
            yield from (Done(index, function(task, self._hold)) for index, task in enumerate(tasks))
            return
        round_ = _Round(function, tasks)
        threads = [
            threading.Thread(target=round_.serve, args=(worker,), name=f"cafx-worker-{number}", daemon=True)
            for number, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            yield from round_.results(len(threads))
        finally:
            round_.close()

    def stop(self) -> None:
        """See `Executor`."""
        for worker in self._workers:
            worker.stop()
        self._workers = []
        self._hold.close()

    @classmethod
    def cases(cls) -> Iterable[ExecutorCase]:
        """Two processes."""
        from cafx.conformance.kinds.executor import ExecutorCase

        yield ExecutorCase("two-processes")


class _Worker:
    """A process that uses a number of cores, and the connection to it.

    Attributes:
        serving: held by the round that it works for: one that was given up may still wait for an answer.
    """

    def __init__(self, cores: int) -> None:
        self.serving = threading.Lock()
        self._cores = cores
        self._stopped = False
        with _waiting:
            self._start()

    def _start(self) -> None:
        self.connection, theirs = _context.Pipe()
        self.process: BaseProcess = _context.Process(
            target=_serve, args=(theirs, self._cores), name="cafx-worker", daemon=True
        )
        with _interrupts_blocked():
            self.process.start()
        theirs.close()

    def call(self, function: Work, task: Any) -> Any:
        """The result of a task; EOFError or OSError if the process ends before."""
        self.connection.send((function, task))
        return self.connection.recv()

    def replace(self) -> str:
        """Start a new process for one that has ended, unless all are stopped; returns how it ended."""
        with _waiting:
            self.process.join(SECONDS_TO_END)
            code = self.process.exitcode
            if not self._stopped:
                self.connection.close()
                self._start()
        if code is not None and code < 0:
            return f"its worker was ended by {signal.Signals(-code).name}"
        return f"its worker exited with {code}"

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._stopped = True
        with _waiting:
            self.process.terminate()
            self.process.join(SECONDS_TO_END)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self.connection.close()


class _Round:
    """Tasks that are handed out to workers one at a time, and their results."""

    def __init__(self, function: Work, tasks: Iterable[Any]) -> None:
        self._function = function
        self._tasks = iter(enumerate(tasks))
        self._taking = threading.Lock()
        self._results: queue.SimpleQueue[Done | Lost | BaseException | None] = queue.SimpleQueue()
        self._closed = False

    def close(self) -> None:
        """Hand out no more tasks."""
        self._closed = True

    def results(self, threads: int) -> Iterator[Done | Lost]:
        """Yield results until all threads have ended."""
        while threads:
            result = self._results.get()
            if isinstance(result, BaseException):
                raise result
            if result is None:
                threads -= 1
            else:
                yield result

    def serve(self, worker: _Worker) -> None:
        """Give a worker tasks until there are none."""
        with worker.serving:
            self._serve(worker)

    def _serve(self, worker: _Worker) -> None:
        try:
            while (item := self._take()) is not None:
                index, task = item
                try:
                    result: Done | Lost = Done(index, worker.call(self._function, task))
                except (EOFError, OSError):
                    result = Lost(index, worker.replace())
                self._results.put(result)
        except BaseException as error:  # noqa: BLE001 - `results` raises it
            self._results.put(error)
        self._results.put(None)

    def _take(self) -> tuple[int, Any] | None:
        with self._taking:
            return None if self._closed else next(self._tasks, None)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is for the one that started them."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _serve(connection: Connection, cores: int) -> None:
    """A worker: perform tasks until the connection ends. Standard output is for the results of the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    keep_memory()
    hold = Hold(cores)
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, task = connection.recv()
            connection.send(function(task, hold))
    hold.close()
