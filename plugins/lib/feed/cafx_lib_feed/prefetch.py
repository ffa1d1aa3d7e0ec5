"""Batches made ahead of time by threads in the background, in order, in a fixed set of buffers."""

from __future__ import annotations

import atexit
import collections
import os
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

PATIENCE = 1.0
MOST_WORKERS = 8
_open: weakref.WeakSet[Prefetcher] = weakref.WeakSet()


class Batch:
    """One batch: an array a top, in memory that is used over and over."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.arrays: list[npt.NDArray[Any]] = []
        self._held: list[npt.NDArray[Any]] = []

    def shape(self, *shapes: tuple[int, ...]) -> list[npt.NDArray[Any]]:
        """Arrays of these shapes, their values left from before."""
        while len(self._held) < len(shapes):
            self._held.append(np.empty(0, self.dtype))
        for index, shape in enumerate(shapes):
            count = int(np.prod(shape, dtype=np.int64))
            if self._held[index].size < count:
                self._held[index] = np.empty(count, self.dtype)
        counts = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
        self.arrays = [
            held[:count].reshape(shape) for held, count, shape in zip(self._held, counts, shapes, strict=False)
        ]
        return self.arrays


class Source:
    """Where batches come from. It must not refer to the layer, which may then be forgotten.

    Attributes:
        workers: how many threads may `fill` at once; 0 for as many as there are processors.
    """

    workers = 0

    def seek(self, batch: int) -> None:
        """The next `fetch` is for batch number ``batch``."""

    def fetch(self, batch: int) -> Any:
        """Read what batch ``batch`` is made of: by one thread at a time, in order."""
        raise NotImplementedError

    def fill(self, fetched: Any, number: int, batch: Batch) -> None:
        """Make the batch: by several threads, each with its own."""
        raise NotImplementedError

    def close(self) -> None:
        """Release files and databases."""


class Prefetcher:
    """Keeps up to ``ahead`` batches of a source ready.

    Memory is ahead + 1 batches: those waiting or being made, and the one handed out, which is
    reused at the next `next`. An error met while making a batch is raised by the `next` that
    would have returned it, and by every later one.

    Args:
        source: where batches come from.
        ahead: batches made in advance, at least one.
        dtype: of the batches.
        first: number of the first batch wanted.
    """

    def __init__(self, source: Source, ahead: int, dtype: npt.DTypeLike, first: int = 0) -> None:
        self._source = source
        self._wanted = self._made = first
        self._free = collections.deque(Batch(dtype) for _ in range(max(1, ahead) + 1))
        self._ready: dict[int, Batch | BaseException] = {}
        self._lent: Batch | None = None
        self._closing = False
        self._fetching = threading.Lock()
        self._changed = threading.Condition()
        source.seek(first)
        count = source.workers or min(os.cpu_count() or 1, MOST_WORKERS)
        self._threads = [
            threading.Thread(target=self._work, name=f"cafx-prefetch-{i}", daemon=True)
            for i in range(min(count, max(1, ahead)))
        ]
        _open.add(self)
        for thread in self._threads:
            thread.start()

    def next(self) -> Batch:
        """The next batch in order; the one returned before is given back."""
        with self._changed:
            if self._lent is not None:
                self._free.append(self._lent)
                self._lent = None
                self._changed.notify_all()
            while self._wanted not in self._ready:
                self._changed.wait(PATIENCE)
                if self._wanted not in self._ready and not any(t.is_alive() for t in self._threads):
                    raise CafxError("the threads that read data are gone", remedy="make the net anew in this process")
            found = self._ready[self._wanted]
            if isinstance(found, BaseException):
                raise found
            del self._ready[self._wanted]
            self._wanted += 1
            self._lent = found
            return found

    def close(self) -> None:
        """Stop the threads and wait for them."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._ready.clear()

    def _work(self) -> None:
        while True:
            with self._fetching:
                batch = self._take()
                if batch is None:
                    return
                number = self._made
                self._made += 1
                try:
                    fetched = self._source.fetch(number)
                except BaseException as error:  # noqa: BLE001 - `next` raises it, whatever it is
                    self._fail(number, error)
                    return
            try:
                self._source.fill(fetched, number, batch)
            except BaseException as error:  # noqa: BLE001 - `next` raises it, whatever it is
                self._fail(number, error)
                return
            with self._changed:
                self._ready[number] = batch
                self._changed.notify_all()

    def _take(self) -> Batch | None:
        """A free buffer, waited for; None when it is time to stop."""
        with self._changed:
            while not self._free and not self._closing:
                self._changed.wait()
            return None if self._closing else self._free.popleft()

    def _fail(self, number: int, error: BaseException) -> None:
        """Hand an error to whoever waits for this batch; the other threads finish theirs and stop."""
        with self._changed:
            self._ready[number] = error
            self._closing = True
            self._changed.notify_all()


@atexit.register
def _close_all() -> None:
    """Threads end before the interpreter does: databases are closed by no one else."""
    for prefetcher in list(_open):
        prefetcher.close()
