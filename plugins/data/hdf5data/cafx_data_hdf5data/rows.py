"""Rows of HDF5 files, one after the other, none kept longer than its batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.net import Streams
from cafx.kernel.schema import read_file, read_head, sniff
from cafx_lib_feed.prefetch import Batch, Source

CHUNK_CACHE = 16 << 20
Span = tuple[int, int, int, int]


class Rows(Source):
    """Rows of files in turn; only the rows of a batch are ever in memory."""

    workers = 1

    def __init__(self, names: list[str], options: Any, streams: Streams, stream: str) -> None:
        self.names, self.options = names, options
        self.streams, self.stream = streams, stream
        listed = read_file(options.source).decode("utf-8", "replace").split()
        self.files = [Path(each) for each in listed]
        if not self.files:
            raise CafxError("it names no HDF5 file", where=options.source)
        self._file: tuple[int, Any] = (-1, None)
        self.shapes: list[tuple[int, ...]] = []
        try:
            self.counts = [self._check(index) for index in range(len(self.files))]
        except CafxError:
            self.close()
            raise

    def fetch(self, batch: int) -> None:
        """See `Source`: reading is all there is to do, and HDF5 lets one thread do it."""

    def fill(self, fetched: None, number: int, batch: Batch) -> None:
        """See `Source`."""
        size = self.options.batch_size
        arrays = batch.shape(*[(size, *shape) for shape in self.shapes])
        done = 0
        for epoch, file, row, count in self._spans(number * size, size):
            rows = self._rows(epoch, file)
            for name, array in zip(self.names, arrays, strict=True):
                target = array[done : done + count]
                try:
                    _read(self._open(file)[name], rows[row : row + count] if rows is not None else row, target)
                except (OSError, KeyError) as error:
                    raise CafxError(f"dataset '{name}' cannot be read: {error}", where=str(self.files[file])) from error
            done += count

    def close(self) -> None:
        """See `Source`."""
        if self._file[1] is not None:
            self._file[1].close()
            self._file = (-1, None)

    def _spans(self, position: int, count: int) -> Iterator[Span]:
        """Epoch, file, first row and number of rows of each stretch of a batch."""
        total = sum(self.counts)
        while count:
            epoch, offset = divmod(position, total)
            for file in self._files(epoch):
                if offset < self.counts[file]:
                    taken = min(count, self.counts[file] - offset)
                    yield epoch, file, offset, taken
                    position, count = position + taken, count - taken
                    break
                offset -= self.counts[file]

    def _files(self, epoch: int) -> Iterable[int]:
        if not self.options.shuffle:
            return range(len(self.files))
        order: list[int] = self.streams.fresh(f"{self.stream}/files", epoch).permutation(len(self.files)).tolist()
        return order

    def _rows(self, epoch: int, file: int) -> Any:
        if not self.options.shuffle:
            return None
        return self.streams.fresh(f"{self.stream}/rows", epoch, file).permutation(self.counts[file])

    def _open(self, index: int) -> Any:
        if self._file[0] != index:
            self.close()
            path = self.files[index]
            try:
                found = sniff(read_head(path))
                self._file = (index, h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE))
            except CafxError as error:
                raise error.at(self.options.source) from None
            except OSError as error:
                reason = "it is cut off" if "truncated" in str(error) else "it is another kind of file, or damaged"
                raise CafxError(
                    f"cannot be opened as HDF5: {reason}", where=f"{self.options.source}: {path}", found=found,
                    remedy="make or copy it again",
                ) from error  # fmt: skip
        return self._file[1]

    def _check(self, index: int) -> int:
        """How many rows a file has; CafxError where its datasets are not what they must be."""
        file, where = self._open(index), str(self.files[index])
        for name in self.names:
            if not isinstance(file.get(name), h5py.Dataset):
                raise CafxError(f"has no dataset '{name}'", where=where, expected=f"one of {', '.join(file)}")
            if file[name].dtype.kind not in "fiub" or not file[name].shape:
                raise CafxError(f"dataset '{name}' has no rows of numbers", where=where, found=str(file[name]))
        counts = {name: len(file[name]) for name in self.names}
        shapes = [file[name].shape[1:] for name in self.names]
        self.shapes = self.shapes or shapes
        if len(set(counts.values())) > 1 or not min(counts.values()):
            found = ", ".join(f"{count} in '{name}'" for name, count in counts.items())
            raise CafxError("datasets differ in their number of rows, or have none", where=where, found=found)
        if shapes != self.shapes:
            raise CafxError(
                f"rows have another shape than in {self.files[0]}", where=where,
                found=", ".join(map(shape_text, shapes)), expected=", ".join(map(shape_text, self.shapes)),
            )  # fmt: skip
        return counts[self.names[0]]


def _read(dataset: Any, rows: Any, target: np.ndarray[Any, Any]) -> None:
    """Rows from a first one on, or those listed, straight into their place."""
    if isinstance(rows, int):
        dataset.read_direct(target, np.s_[rows : rows + len(target)])
        return
    order = np.argsort(rows)
    target[order] = dataset[rows[order]]
