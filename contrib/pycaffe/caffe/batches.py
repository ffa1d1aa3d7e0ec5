"""Cutting many examples into batches of a net's size, and joining what comes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def batches(arrays: Mapping[str, Array], size: int) -> Iterator[dict[str, Array]]:
    """Pieces of ``size`` rows of each array, the last filled up with zeros."""
    if not arrays:
        return
    count = len(next(iter(arrays.values())))
    for begin in range(0, count, size):
        missing = size - min(count - begin, size)
        yield {name: _filled(np.asarray(held[begin : begin + size]), missing) for name, held in arrays.items()}


def joined(found: Mapping[str, Sequence[Array]], count: int) -> dict[str, Array]:
    """The first ``count`` rows of each, without what filled up the last batch."""
    return {name: np.asarray(rows)[:count] for name, rows in found.items()}


def _filled(piece: Array, missing: int) -> Array:
    return np.concatenate([piece, np.zeros((missing, *piece.shape[1:]), piece.dtype)]) if missing else piece
