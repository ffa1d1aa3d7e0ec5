"""Features and labels from files: HDF5 datasets, and text with one label per line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.files import Kinds, kind_of_file, read_file, read_head, shown, sniff
from cafx_lib_hdf5 import Damaged, Dataset, File

Rows = npt.NDArray[np.float64]
LISTED = re.compile(r"\S[^\n]*\.\w+\s+(-?\d+)")
"""A line of an image list."""
MOST_BYTES, MOST_TEXT = 1 << 30, 1 << 26
"""Bytes of the rows that are read, and of a text file."""


@attrs.frozen
class Labels:
    """The class of each row.

    Attributes:
        numbers: index into ``names``, per row.
        names: the classes that occur.
    """

    numbers: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def at(self, rows: npt.NDArray[np.int64]) -> Labels:
        """The labels of some rows, and the classes that occur among them.

        Args:
            rows: numbers of the rows.
        """
        occurring, numbers = np.unique(self.numbers[rows], return_inverse=True)
        return Labels(numbers.astype(np.int64), tuple(self.names[number] for number in occurring))


def read_features(spec: str, limit: int, seed: int) -> tuple[Rows, npt.NDArray[np.int64], int]:
    """Rows of a dataset, flattened; a random sample if there are more than the limit.

    Args:
        spec: ``FILE`` or ``FILE:DATASET``; without a name, the dataset with several values per row.
        limit: the largest number of rows.
        seed: chooses the sample.

    Returns:
        The rows, the number of each in the file, and how many the file has.

    Raises:
        CafxError: the file or the dataset is missing, damaged or too large, or has values that are not finite.
    """
    path, name = _split(spec)
    with _opened(path) as file:
        dataset = _chosen(file, name, "features", lambda width: width > 1)
        assert dataset.shape is not None
        total = dataset.shape[0]
        count = min(total, limit)
        if count * dataset.row_bytes > MOST_BYTES:
            size = count * dataset.row_bytes / (1 << 30)
            raise CafxError(
                f"{count} rows of '{shown(dataset.name)}' take {size:.1f} GiB", where=path, remedy="--limit"
            )
        chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
        values = np.empty((count, *dataset.shape[1:]), np.float64)
        _guarded(path, lambda: file.read_rows(dataset, 0 if count == total else chosen, values))
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values.reshape(count, -1)).all(axis=1))[0, 0])
        raise CafxError(f"'{shown(dataset.name)}' is not finite", where=path, found=f"row {chosen[row]}")
    return values.reshape(count, -1), chosen, total


def read_labels(spec: str, total: int, classes: str | None = None) -> Labels:
    """The class of each row.

    Args:
        spec: a text file with one label per line, or an image list; or ``FILE`` or ``FILE:DATASET`` of HDF5 with one
            value per row.
        total: number of rows.
        classes: text file that names class 0, 1, … on its lines; labels must be whole numbers then.

    Raises:
        CafxError: a file is missing or damaged, or does not fit.
    """
    path, name = _split(spec)
    labels: Sequence[Any] = _label_values(path, name) if kind_of_file(path) is Kinds.HDF5 else _label_lines(path)
    if len(labels) != total:
        raise CafxError("labels and features differ in number", where=spec, found=f"{len(labels)} and {total}")
    try:
        numbers = np.array([int(label) for label in labels], np.int64)
    except (ValueError, OverflowError):
        if classes:
            remedy = "leave out --classes"
            raise CafxError("labels are not whole numbers", where=spec, found=_odd(labels), remedy=remedy) from None
        names, numbers = np.unique(np.array(labels, str), return_inverse=True)
        return Labels(numbers.astype(np.int64), tuple(map(str, names)))
    occurring, indices = np.unique(numbers, return_inverse=True)
    return Labels(indices.astype(np.int64), _names(occurring.tolist(), classes))


def _names(numbers: list[int], classes: str | None) -> tuple[str, ...]:
    known = _lines(classes) if classes else None
    for number in numbers:
        if known is not None and not 0 <= number < len(known):
            expected = f"0 to {len(known) - 1}"
            raise CafxError("has no name for a label", where=classes, found=str(number), expected=expected)
    return tuple(known[number] if known else str(number) for number in numbers)


def _split(spec: str) -> tuple[str, str | None]:
    """File and dataset of ``FILE:DATASET``; a colon may be in the file's own name."""
    path, colon, name = spec.rpartition(":")
    return (path, name) if colon and not Path(spec).exists() and Path(path).exists() else (spec, None)


def _opened(path: str) -> File:
    return _guarded(path, lambda: File(Path(path)))


def _guarded(path: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Damaged as error:
        found = sniff(read_head(path))
        raise CafxError(f"cannot be read as HDF5: {error}", where=shown(path), found=found) from error


def _chosen(file: File, name: str | None, what: str, fits: Callable[[int], bool]) -> Dataset:
    """The dataset of a name, or the only one whose rows have as many values as wanted."""
    usable = {each.name: each for each in file.datasets.values() if each.is_numbers and each.shape and each.shape[0]}
    found = {key: each for key, each in usable.items() if fits(prod((each.shape or ())[1:]))}
    dataset = file.get(name) if name is not None else next(iter(found.values())) if len(found) == 1 else None
    if dataset is not None and dataset.name in found:
        return dataset
    listed = ", ".join(f"'{shown(key)}' ({shape_text(each.shape or ())})" for key, each in usable.items())
    problem = f"no {what} in it" if not found else f"several datasets can be {what}"
    problem = problem if name is None else f"'{shown(name)}' cannot be {what}"
    wanted = "rows of one number" if what == "labels" else "rows of several numbers"
    remedy = f"name one: {shown(file.path)}:{shown(next(iter(found)))}" if found else None
    raise CafxError(problem, where=shown(file.path), found=listed or "no rows", expected=wanted, remedy=remedy)


def _label_values(path: str, name: str | None) -> Sequence[Any]:
    with _opened(path) as file:
        dataset = _chosen(file, name, "labels", lambda width: width == 1)
        values = _guarded(path, lambda: file.read(dataset)).reshape(-1)
    whole = np.isfinite(values) & (values == np.round(values)) if values.dtype.kind == "f" else np.array(True)
    if not whole.all():
        found = str(values[~whole][0])
        raise CafxError(f"'{shown(dataset.name)}' has values that are no labels", where=shown(path), found=found)
    numbers: Sequence[Any] = values.tolist()
    return numbers


def _label_lines(path: str) -> list[str]:
    """One label per line, or what follows the path of an image on every line."""
    lines = _lines(path)
    listed = [LISTED.fullmatch(line) for line in lines]
    return [match[1] for match in listed if match] if all(listed) else lines


def _lines(path: str) -> list[str]:
    """The lines of a text file, none of them empty."""
    content = read_file(path, MOST_TEXT + 1)
    wanted = "text, one label per line, or an HDF5 file"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CafxError(
            "cannot be read as text", where=shown(path), found=sniff(content[:512]), expected=wanted
        ) from None
    if len(content) > MOST_TEXT:
        raise CafxError("is too large", where=shown(path), found=f"more than {MOST_TEXT} bytes", expected=wanted)
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise CafxError("a line is empty", where=f"{shown(path)}:{lines.index('') + 1}", expected="a label")
    return lines


def _odd(labels: Sequence[Any]) -> str:
    """The first label that is no whole number."""
    return shown(str(next(each for each in labels if not str(each).lstrip("-").isdecimal())))
