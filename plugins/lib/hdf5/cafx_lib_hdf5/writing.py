"""Writing HDF5 files whole or not at all.

libhdf5 crashes when its file cannot be written. It writes to a Python file here, which remembers an error and lets
libhdf5 go on; the error is raised afterwards, and what was written is taken back.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write

BLOCK = 1 << 16


class _Guarded(io.RawIOBase):
    """A file that never tells libhdf5 of an error.

    Args:
        descriptor: the file.

    Attributes:
        error: the first error.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._position = 0
        self._before = os.fstat(descriptor).st_size
        self._saved: dict[int, bytes] = {}
        self.error: OSError | None = None

    def readable(self) -> bool:
        """It can be read."""
        return True

    def writable(self) -> bool:
        """It can be written."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.IOBase`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`; what is not in the file is zero."""
        view = memoryview(buffer).cast("B")
        count = os.preadv(self._descriptor, [view], self._position)
        view[count:] = bytes(len(view) - count)
        self._position += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        """See `io.RawIOBase`."""
        view = memoryview(data).cast("B")
        position, done = self._position, 0
        self._save(position, len(view))
        try:
            while done < len(view) and self.error is None:
                done += os.pwrite(self._descriptor, view[done:], position + done)
        except OSError as error:
            self.error = error
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """See `io.IOBase`."""
        size = self._position if size is None else size
        try:
            if self.error is None:
                os.ftruncate(self._descriptor, size)
        except OSError as error:
            self.error = error
        return size

    def take_back(self) -> None:
        """Make the file what it was; its blocks are still there, so that this needs no space."""
        for position, data in self._saved.items():
            os.pwrite(self._descriptor, data, position)
        os.ftruncate(self._descriptor, self._before)

    def _save(self, position: int, length: int) -> None:
        """Keep what is about to be written over."""
        end = min(position + length, self._before)
        for start in range(position // BLOCK * BLOCK, end, BLOCK):
            if start not in self._saved:
                self._saved[start] = os.pread(self._descriptor, min(BLOCK, self._before - start), start)


@contextmanager
def _file(descriptor: int, mode: str) -> Iterator[Any]:
    """An h5py file over a descriptor; an error is raised after libhdf5 has closed it, and everything taken back."""
    guarded = _Guarded(descriptor)
    try:
        with h5py.File(guarded, mode) as file:
            yield _Checked(file, guarded)
        if guarded.error is not None:
            raise guarded.error
    except BaseException:
        guarded.take_back()
        raise


class _Checked:
    """An h5py file whose writing stops at the first error.

    Args:
        file: the file.
        guarded: what it writes to.
    """

    def __init__(self, file: Any, guarded: _Guarded) -> None:
        self.file, self._guarded = file, guarded

    def append(self, name: str, rows: Any) -> None:
        """Append rows to a dataset, which is created if need be.

        Args:
            name: the dataset.
            rows: an array with at least one axis.

        Raises:
            OSError: an earlier write has failed.
        """
        if name not in self.file:
            inner = rows.shape[1:]
            chunks = tuple(max(1, length) for length in rows.shape)
            self.file.create_dataset(name, (0, *inner), rows.dtype, maxshape=(None, *inner), chunks=chunks)
        dataset = self.file[name]
        count = len(dataset)
        dataset.resize(count + len(rows), axis=0)
        dataset[count:] = rows
        if self._guarded.error is not None:
            raise self._guarded.error


@contextmanager
def writing(path: Path) -> Iterator[_Checked]:
    """A new file, which has its name once it is complete.

    Raises:
        CafxError: it cannot be written; then there is none, or an earlier one is left as it was.
    """
    with atomic_write(path) as target, _file(target.fileno(), "w") as file:
        yield file


@contextmanager
def appending(path: Path) -> Iterator[_Checked]:
    """An existing file, for one more addition to it.

    Raises:
        CafxError: it cannot be written; then it is left as it was.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            with _file(descriptor, "r+") as file:
                yield file
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CafxError(f"cannot be written: {error.strerror or error}", where=str(path)) from error
