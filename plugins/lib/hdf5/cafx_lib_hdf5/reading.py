"""Reading HDF5 files from outside.

libhdf5 runs in a process of its own (`cafx_lib_hdf5.helper`), which lists what is in a file and where its values
are. Values that lie in the file in order, as Caffe writes weights, are read from there without libhdf5; compressed
ones come from that process.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

Array = npt.NDArray[Any]
LIMIT_SETTING = "CAFX_MAX_BYTES"
SMALLEST_LIMIT, MOST_GROWTH = 1 << 28, 64
"""A file may always hold so many bytes of values, or so many times its size."""
MOST_LINKS = 16
NUMBERS = "fiub"
ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::", "HDF5_USE_FILE_LOCKING": "FALSE"}
"""Settings of libhdf5: load no filters from elsewhere; lock nothing."""


class Damaged(ValueError):
    """A file that cannot be read; says why."""


@attrs.frozen
class Dataset:
    """A dataset.

    Attributes:
        name: its path in the file.
        shape: its shape; None if it has no values at all.
        dtype: its type in the file; None for one that NumPy does not have.
        offset: where its values lie in the file in order; None where they do not.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any] | None
    offset: int | None = None

    @property
    def is_numbers(self) -> bool:
        """Whether its values are numbers."""
        return self.shape is not None and self.dtype is not None and self.dtype.kind in NUMBERS

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, as the first axis counts them."""
        assert self.dtype is not None
        return self.dtype.itemsize * math.prod((self.shape or ())[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        assert self.dtype is not None
        return self.dtype.itemsize * math.prod(self.shape or ())


class _Helper:
    """A process that reads files."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        command = [sys.executable, "-I", "-m", "cafx_lib_hdf5.helper"]
        pipe, silent = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(  # nosec B603  # our own module, no shell
            command, stdin=pipe, stdout=pipe, stderr=silent, env={**os.environ, **ENVIRONMENT}
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            Damaged: the file is refused, or the process has ended over it.
        """
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            line = self._answers.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Damaged(answer["error"])
        return answer

    def receive(self, target: memoryview) -> None:
        """Fill memory with the bytes that follow an answer."""
        done = 0
        while done < len(target):
            count = self._answers.readinto(target[done:])
            if not count:
                raise self._ended()
            done += count

    def _ended(self) -> Damaged:
        self.end()
        return Damaged("HDF5 fails to read it, or does not finish")

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):  # a request that was not read is dropped
                pipe.close()
        self._process.wait()


class _Idle:
    """A helper that is not in use, kept for the next file."""

    def __init__(self) -> None:
        self._helper: _Helper | None = None
        self._lock = threading.Lock()

    def take(self) -> _Helper:
        """The idle helper, or a new one."""
        with self._lock:
            helper, self._helper = self._helper, None
        if helper is not None and helper.owner == os.getpid() and helper.is_alive:
            return helper
        return _Helper()

    def give(self, helper: _Helper) -> None:
        """Keep a helper, unless one is kept already."""
        with self._lock:
            if self._helper is None:
                self._helper = helper
                return
        helper.end()

    def end(self) -> None:
        """End the helper."""
        with self._lock:
            helper, self._helper = self._helper, None
        if helper is not None and helper.owner == os.getpid():
            helper.end()


_idle = _Idle()
atexit.register(_idle.end)


class File:
    """An HDF5 file, open for reading.

    Args:
        path: the file.

    Attributes:
        path: the file.
        datasets: its datasets, by path.
        groups: the paths of its groups.

    Raises:
        CafxError: it cannot be opened, or is no file.
        Damaged: it is no HDF5 file, damaged, or refers to other files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._helper: _Helper | None = None
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CafxError(f"cannot be read: {reason}", where=str(path)) from None
        status = os.fstat(self._descriptor)
        try:
            if not stat.S_ISREG(status.st_mode):
                raise CafxError("is not a file", where=str(path))
            self._size = status.st_size
            self._helper = _idle.take()
            objects = self._helper.ask(open=str(path.absolute()))["objects"]
        except (CafxError, Damaged):
            self.close()
            raise
        self._links: dict[str, str] = {each["name"]: each["link"] for each in objects if "link" in each}
        self.groups = [each["name"] for each in objects if not each.keys() & {"link", "shape"}]
        self.datasets = {each["name"]: _dataset(each) for each in objects if "shape" in each}

    @property
    def names(self) -> list[str]:
        """What is in the file, not in a group of it."""
        return sorted(name for name in (*self.groups, *self.datasets, *self._links) if "/" not in name)

    def get(self, name: str) -> Dataset | None:
        """A dataset by path; links within the file are followed."""
        for _ in range(MOST_LINKS):
            if name not in self._links:
                break
            target = self._links[name]
            folder = "" if target.startswith("/") else name.rpartition("/")[0] + "/"
            name = (folder + target).strip("/")
        return self.datasets.get(name)

    def read(self, dataset: Dataset) -> Array:
        """All values, in the machine's byte order.

        Raises:
            Damaged: they are not in the file, or more than a file of its size should hold.
        """
        assert dataset.dtype is not None
        limit = self._limit()
        if dataset.offset is not None and dataset.offset + dataset.nbytes > self._size:
            raise _short(dataset)
        if dataset.nbytes > limit:
            raise Damaged(
                f"dataset '{dataset.name}' has {dataset.nbytes} bytes of values in a file of {self._size}; "
                f"set {LIMIT_SETTING} to read more than {limit}"
            )
        shape = dataset.shape or ()
        values = np.empty(shape, dataset.dtype.newbyteorder("="))
        if not shape:
            self._receive(values, read=dataset.name)
        elif values.size:
            self.read_rows(dataset, 0, values)
        return values

    def read_rows(self, dataset: Dataset, rows: int | Sequence[int] | Array, target: Array) -> None:
        """Read rows into an array, whose type may be another.

        Args:
            dataset: the dataset.
            rows: the first of as many consecutive rows as ``target`` has, or the number of each.
            target: a contiguous array.

        Raises:
            Damaged: they are not in the file.
        """
        assert dataset.dtype is not None
        if dataset.offset is not None and dataset.dtype.kind in "fiu":
            self._read_in_order(dataset, rows, target)
            return
        stored = dataset.dtype.newbyteorder("=")
        values = target if target.dtype == stored else np.empty(target.shape, stored)
        if isinstance(rows, int):
            self._receive(values, read=dataset.name, rows=[rows, rows + len(target)])
        else:
            order = np.argsort(rows, kind="stable")
            sorted_values = np.empty(target.shape, stored)
            self._receive(sorted_values, read=dataset.name, listed=np.asarray(rows)[order].tolist())
            values[order] = sorted_values
        if values is not target:
            target[...] = values

    def read_bytes(self, dataset: Dataset) -> bytes:
        """The bytes of a string or an opaque value.

        Raises:
            Damaged: it is none.
        """
        assert self._helper is not None
        answer = self._helper.ask(bytes=dataset.name)
        if answer["bytes"] > self._limit():
            raise Damaged(f"'{dataset.name}' is longer than {self._limit()} bytes")
        data = bytearray(answer["bytes"])
        self._helper.receive(memoryview(data))
        return bytes(data)

    def close(self) -> None:
        """Close the file; closing twice has no effect."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        helper, self._helper = self._helper, None
        if helper is not None and helper.is_alive:
            try:
                helper.ask(close=True)
            except Damaged:
                return
            _idle.give(helper)

    def _limit(self) -> int:
        setting = os.environ.get(LIMIT_SETTING, "")
        return int(setting) if setting.isdigit() else max(SMALLEST_LIMIT, MOST_GROWTH * self._size)

    def _receive(self, target: Array, **request: Any) -> None:
        assert self._helper is not None
        answer = self._helper.ask(**request)
        if answer["bytes"] != target.nbytes:
            self._helper.end()
            raise Damaged(f"dataset '{request['read']}' has another size than it says")
        if target.nbytes:
            self._helper.receive(memoryview(target.reshape(-1).view(np.uint8)))

    def _read_in_order(self, dataset: Dataset, rows: int | Sequence[int] | Array, target: Array) -> None:
        """Read values that lie in the file in order, a run of consecutive rows at a time."""
        assert dataset.dtype is not None
        size = dataset.row_bytes
        values = target if target.dtype == dataset.dtype else np.empty(target.shape, dataset.dtype)
        flat = memoryview(values.reshape(-1).view(np.uint8)) if values.size else memoryview(b"")
        first = [rows] if isinstance(rows, int) else rows
        length = len(flat) if isinstance(rows, int) else size
        for index, row in enumerate(first):
            self._read_at(dataset, int(row) * size, flat[index * size : index * size + length])
        if values is not target:
            target[...] = values

    def _read_at(self, dataset: Dataset, start: int, target: memoryview) -> None:
        assert dataset.offset is not None
        done = 0
        while done < len(target):
            count = os.preadv(self._descriptor, [target[done:]], dataset.offset + start + done)
            if not count:
                raise _short(dataset)
            done += count

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _short(dataset: Dataset) -> Damaged:
    return Damaged(f"it ends within dataset '{dataset.name}'")


def _dataset(described: dict[str, Any]) -> Dataset:
    shape, kind = described["shape"], described["type"]
    dtype = np.dtype(kind) if kind and kind != "O" else None
    return Dataset(described["name"], None if shape is None else tuple(shape), dtype, described.get("offset"))
