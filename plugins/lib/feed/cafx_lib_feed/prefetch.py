"""Prefetching: background threads prepare batches, delivered in order from a fixed set of buffers."""

from __future__ import annotations

import atexit
import collections
import math
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

Allocate = Callable[[int, npt.DTypeLike], npt.NDArray[Any]]
POLL_SECONDS = 1.0
MAX_WORKERS = 8
_open: weakref.WeakSet[Prefetcher] = weakref.WeakSet()


class Batch:
    """One batch: one array per top, in memory that is reused.

    Args:
        dtype: type of the arrays that `shape` returns.
        allocate: from a number of values and their type to an uninitialised flat array.

    Attributes:
        arrays: what the tops get: the arrays of the latest `shape` call, or what a source has put there, arrays or
            `cafx_lib_pixels.Images`.
    """

    def __init__(self, dtype: npt.DTypeLike, allocate: Allocate = np.empty) -> None:
        self.dtype = np.dtype(dtype)
        self._allocate = allocate
        self.arrays: list[Any] = []
        self._buffers: dict[tuple[int, npt.DTypeLike], npt.NDArray[Any]] = {}

    def shape(self, *shapes: tuple[int, ...]) -> list[npt.NDArray[Any]]:
        """Return arrays of these shapes with unspecified values; memory grows as needed."""
        self.arrays = [self.buffer(index, shape, self.dtype) for index, shape in enumerate(shapes)]
        return self.arrays

    def buffer(self, index: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """One array with unspecified values; its memory is used again for the next of this index and type."""
        key, count = (index, dtype), math.prod(shape)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < count:
            buffer = self._buffers[key] = self._allocate(count, dtype)
        return buffer[:count].reshape(shape)


class Source:
    """Base class of sources of batches.

    A source must not refer to its layer, so that a layer no longer in use can be garbage collected.

    Attributes:
        workers: number of threads that may call `fill` concurrently; 0 for one per processor.
        epoch: number of items after which the source begins again; 0 if it never does, or does not say.
        batch_size: number of items of a batch; 0 if batches are not made of items in order.
        ranks: number of processes to which items are dealt, one after the other: batch number n is for rank
            n % ranks, and each rank's batches of a round have every ranks-th item of it.
        keeps_bytes: whether a batch may have `cafx_lib_pixels.Images` instead of floats.

    Example:
        >>> source = Source()
        >>> source.ranks = 2
        >>> source.first_item(0, 10), source.first_item(1, 10), source.first_item(2, 10)
        (0, 1, 20)
    """

    workers = 0
    epoch = 0
    batch_size = 0
    ranks = 1
    keeps_bytes = True

    def first_item(self, batch: int, size: int) -> int:
        """The number of the first item of a batch; the others follow at distances of ``ranks``.

        Args:
            batch: number of the batch.
            size: number of items of a batch.
        """
        turn, rank = divmod(batch, self.ranks)
        return turn * size * self.ranks + rank

    def seek(self, batch: int) -> None:
        """Prepare for `fetch` to start at batch number ``batch``."""

    def fetch(self, batch: int) -> Any:
        """Read the raw content of batch number ``batch``; called in order, by one thread at a time."""
        raise NotImplementedError

    def fill(self, fetched: Any, number: int, batch: Batch) -> None:
        """Decode and transform into a batch; called by several threads concurrently.

        Args:
            fetched: the result of `fetch`.
            number: number of the batch.
            batch: the batch to fill.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release files and databases."""


class Prefetcher:
    """Keeps up to ``depth`` batches of a source ready.

    It allocates depth + 1 batches: those ready or in preparation, and the one handed out, which is reused
    after the following `next`. An error while preparing a batch is raised by the `next` that would have
    returned this batch, and by all later ones.

    Args:
        source: the source of batches.
        depth: number of batches to prepare in advance, at least one.
        dtype: type of the batches.
        first: number of the first batch; each `next` is the one ``source.ranks`` after the one before.
        allocate: as for `Batch`.
    """

    def __init__(
        self, source: Source, depth: int, dtype: npt.DTypeLike, first: int = 0, allocate: Allocate = np.empty
    ) -> None:
        self._source, self._step = source, source.ranks
        self._next_out = self._next_in = first
        self._free = collections.deque(Batch(dtype, allocate) for _ in range(max(1, depth) + 1))
        self._ready: dict[int, Batch | BaseException] = {}
        self._lent: Batch | None = None
        self._closing = False
        self._fetching = threading.Lock()
        self._changed = threading.Condition()
        source.seek(first)
        count = source.workers or min(os.cpu_count() or 1, MAX_WORKERS)
        self._threads = [
            threading.Thread(target=self._work, name=f"cafx-prefetch-{i}", daemon=True)
            for i in range(min(count, max(1, depth)))
        ]
        _open.add(self)
        self._start()

    def _start(self) -> None:
        """Start the threads, or as many as memory is left for; RuntimeError if it is for none."""
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:
                del self._threads[number:]
                if not self._threads:
                    self.close()
                    raise
                return

    def next(self) -> Batch:
        """Return the next batch in order; the batch returned before may be overwritten.

        Raises:
            Exception: the error that occurred while the batch was prepared.
            CafxError: the threads have ended, as in a forked process.
        """
        with self._changed:
            if self._lent is not None:
                self._free.append(self._lent)
                self._lent = None
                self._changed.notify_all()
            while self._next_out not in self._ready:
                self._changed.wait(POLL_SECONDS)
                if self._next_out not in self._ready and not any(t.is_alive() for t in self._threads):
                    raise CafxError("the prefetching threads have ended", remedy="build the net again in this process")
            batch = self._ready[self._next_out]
            if isinstance(batch, BaseException):
                raise batch
            del self._ready[self._next_out]
            self._next_out += self._step
            self._lent = batch
            return batch

    def peek(self) -> Batch | None:
        """The batch that `next` will return, if it is ready by now."""
        with self._changed:
            ready = self._ready.get(self._next_out)
            return ready if isinstance(ready, Batch) else None

    def close(self) -> None:
        """Stop the threads and wait until they have ended."""
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
                number = self._next_in
                self._next_in += self._step
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
        """Wait for a free buffer; None if the prefetcher is closing."""
        with self._changed:
            while not self._free and not self._closing:
                self._changed.wait()
            return None if self._closing else self._free.popleft()

    def _fail(self, number: int, error: BaseException) -> None:
        """Store an error in place of a batch; the other threads finish their batches and stop."""
        with self._changed:
            self._ready[number] = error
            self._closing = True
            self._changed.notify_all()


@atexit.register
def _close_all() -> None:
    """End the threads before the interpreter shuts down, while their databases can still be closed."""
    for prefetcher in list(_open):
        prefetcher.close()
