"""Splitting examples into batches of a net's size, and joining the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def batches(arrays: Mapping[str, Array], size: int) -> Iterator[dict[str, Array]]:
    """Split arrays into batches; the last batch is padded with zeros.

    Args:
        arrays: arrays of the same length, by name.
        size: number of rows per batch.
    """
    if not arrays:
        return
    count = len(next(iter(arrays.values())))
    for begin in range(0, count, size):
        missing = size - min(count - begin, size)
        yield {name: _padded(np.asarray(array[begin : begin + size]), missing) for name, array in arrays.items()}


def joined(results: Mapping[str, Sequence[Array]], count: int) -> dict[str, Array]:
    """Convert lists of rows to arrays of the first ``count`` rows, without the padding of the last batch."""
    return {name: np.asarray(rows)[:count] for name, rows in results.items()}


def _padded(rows: Array, missing: int) -> Array:
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else rows
