"""Intermediate files of jobs: items of a database, and sequences of arrays."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.files import shown

MAGIC = b"CAFXREC1"
SIZES = struct.Struct("<II")
END = 0xFFFFFFFF


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[IO[bytes]]:
    """Write a task's draft, which is on disk afterwards."""
    try:
        with path.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        remedy = "check that there is disk space left"
        raise CafxError(f"cannot be written: {error.strerror}", where=shown(path), remedy=remedy) from error


def write_items(path: Path, items: Iterable[tuple[bytes, bytes]]) -> int:
    """Write keys and values in the order they come; returns their number.

    Raises:
        CafxError: the file cannot be written.
    """
    count = 0
    with _writing(path) as file:
        file.write(MAGIC)
        for key, value in items:
            file.write(SIZES.pack(len(key), len(value)))
            file.write(key)
            file.write(value)
            count += 1
        file.write(SIZES.pack(END, count))
    return count


def read_items(path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over what `write_items` wrote.

    Raises:
        CafxError: the file is truncated, or another kind of file.
    """
    with Path(path).open("rb") as file:
        left = Path(path).stat().st_size - len(MAGIC)
        whole = file.read(len(MAGIC)) == MAGIC
        count = 0
        while whole and left >= SIZES.size:
            key, value = SIZES.unpack(file.read(SIZES.size))
            left -= SIZES.size + key + value
            if key == END:
                if value == count and left + key + value == 0:
                    return
                break
            if left < 0:
                break
            yield file.read(key), file.read(value)
            count += 1
    raise CafxError("is not the whole output of a slice", where=shown(path), remedy="remove it and start again")


def write_arrays(path: Path, arrays: Iterable[npt.NDArray[Any]]) -> int:
    """Write arrays one after the other; returns their number.

    Raises:
        CafxError: the file cannot be written.
    """
    count = 0
    with _writing(path) as file:
        for array in arrays:
            np.save(file, array, allow_pickle=False)
            count += 1
    return count


def read_arrays(path: str | Path) -> Iterator[npt.NDArray[Any]]:
    """Iterate over what `write_arrays` wrote.

    Raises:
        CafxError: the file is truncated, or another kind of file.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        while file.tell() < size:
            try:
                yield np.load(file, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise CafxError(f"is not the whole output of a slice: {error}", where=shown(path)) from None
