"""Source of the HDF5Data layer: rows of HDF5 files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.files import read_head, sniff
from cafx.kernel.net import Streams
from cafx_lib_feed.lists import read_text_list
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_hdf5 import Damaged, Dataset, File

Span = tuple[int, int, int, int]


class Rows(Source):
    """Rows of the files in a list; only the rows of a batch are in memory.

    Args:
        names: names of the datasets.
        options: the layer's options: source, batch_size and shuffle.
        streams: random streams.
        stream: prefix of the names of the streams for shuffling.

    Attributes:
        shapes: shape of a row in each dataset.
        counts: number of rows in each file.

    Raises:
        CafxError: the list or a file is missing, or its datasets are not valid.
    """

    workers = 1

    def __init__(self, names: list[str], options: Any, streams: Streams, stream: str) -> None:
        self.names, self.options, self.batch_size = names, options, options.batch_size
        self.streams, self.stream = streams, stream
        self.files = [Path(name) for name in read_text_list(options.source, "HDF5 files").split()]
        if not self.files:
            raise CafxError("it lists no HDF5 file", where=options.source)
        self._file: tuple[int, File | None] = (-1, None)
        self.shapes: list[tuple[int, ...]] = []
        try:
            self.counts = [self._check(index) for index in range(len(self.files))]
            self.epoch = sum(self.counts)
        except CafxError:
            self.close()
            raise

    def fetch(self, batch: int) -> None:
        """See `Source`; all work is done in `fill`, by a single thread."""

    def fill(self, fetched: None, number: int, batch: Batch) -> None:
        """See `Source`."""
        size = self.options.batch_size
        arrays = batch.shape(*[(size, *shape) for shape in self.shapes])
        done = 0
        step = self.ranks
        for epoch, file, row, count in self._spans(self.first_item(number, size), size, step):
            rows = self._rows(epoch, file)
            if step > 1 and rows is None:
                rows = np.arange(self.counts[file])
            for name, array in zip(self.names, arrays, strict=True):
                target = array[done : done + count]
                try:
                    opened = self._open(file)
                    selected = rows[row : row + count * step : step] if rows is not None else row
                    opened.read_rows(self._dataset(opened, name), selected, target)
                except Damaged as error:
                    raise CafxError(f"dataset '{name}' cannot be read: {error}", where=str(self.files[file])) from error
            done += count

    def close(self) -> None:
        """See `Source`."""
        if self._file[1] is not None:
            self._file[1].close()
            self._file = (-1, None)

    def _spans(self, position: int, count: int, step: int = 1) -> Iterator[Span]:
        """Split a batch of every ``step``-th row into runs of one file: epoch, file, first row, number of rows."""
        total = sum(self.counts)
        while count:
            epoch, offset = divmod(position, total)
            for file in self._files(epoch):
                if offset < self.counts[file]:
                    length = min(count, -(-(self.counts[file] - offset) // step))
                    yield epoch, file, offset, length
                    position, count = position + length * step, count - length
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

    def _open(self, index: int) -> File:
        number, file = self._file
        if number != index or file is None:
            self.close()
            path = self.files[index]
            try:
                content = sniff(read_head(path))
                file = File(path)
                self._file = (index, file)
            except CafxError as error:
                raise error.at(self.options.source) from None
            except Damaged as error:
                reason = "it is truncated" if "truncated" in str(error) else str(error)
                reason = "it is another kind of file, or damaged" if "signature" in reason else reason
                raise CafxError(
                    f"cannot be opened as HDF5: {reason}",
                    where=f"{self.options.source}: {path}",
                    found=content,
                    remedy="create or copy it again",
                ) from error
        return file

    def _dataset(self, file: File, name: str) -> Dataset:
        dataset = file.get(name)
        if dataset is None:
            names = ", ".join(file.names)
            raise CafxError(f"has no dataset '{name}'", where=str(file.path), expected=f"one of {names}")
        return dataset

    def _check(self, index: int) -> int:
        """Check the datasets of a file and return its number of rows."""
        file, where = self._open(index), str(self.files[index])
        datasets = [self._dataset(file, name) for name in self.names]
        for name, dataset in zip(self.names, datasets, strict=True):
            if not dataset.is_numbers or not dataset.shape:
                found = f"shape {shape_text(dataset.shape or ())}, type {dataset.dtype}"
                raise CafxError(f"dataset '{name}' has no rows of numbers", where=where, found=found)
        counts = {name: each.shape[0] for name, each in zip(self.names, datasets, strict=True) if each.shape}
        shapes = [(each.shape or ())[1:] for each in datasets]
        self.shapes = self.shapes or shapes
        if len(set(counts.values())) > 1 or not min(counts.values()):
            found = ", ".join(f"{count} in '{name}'" for name, count in counts.items())
            raise CafxError("datasets differ in their number of rows, or have none", where=where, found=found)
        if shapes != self.shapes:
            raise CafxError(
                "shape mismatch of rows",
                where=where,
                found=", ".join(map(shape_text, shapes)),
                expected=f"{', '.join(map(shape_text, self.shapes))} as in {self.files[0]}",
            )
        return counts[self.names[0]]
