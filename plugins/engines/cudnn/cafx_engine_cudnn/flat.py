"""Arrays as sequences of values: what works value by value works in the layout the values are in already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import Blob
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.precision import Precision
from cafx_engine_cudnn.routine import Accelerated
from cafx_engine_cupy.session import BLOCK, NULL

FLOAT32 = "float32"
MOST = 4
"""Arrays that one kernel combines."""


class Flat(Accelerated):
    """A routine that works on arrays of equal layout: channels-last, or row-major in float32.

    Attributes:
        packed: whether they are channels-last.
    """

    def choose_layout(self, blobs: Sequence[Blob]) -> None:
        """Channels-last if any of the blobs is written so: converting is slower than all else."""
        self.packed = any(map(self.build.is_channels_last, blobs))
        self._arithmetic = self.precision if self.packed else Precision(self.session, FLOAT32)
        self.count = self.count_of(blobs[0])

    def count_of(self, blob: Blob) -> int:
        """Values of a blob's array, padding included."""
        return self.build.extent(blob).count if self.packed else blob.count_

    def values_of(self, blob: Blob) -> Operand:
        """A blob's data in the layout."""
        return self.data(blob) if self.packed else self.row_major(blob.synced_data)

    def gradient_of(self, blob: Blob) -> Operand:
        """A blob's diff in the layout."""
        return self.diff(blob) if self.packed else self.row_major(blob.synced_diff)

    def leave(self, *operands: Operand, blobs: Sequence[Blob]) -> None:
        """State that the tops are left in the layout."""
        for operand, blob in zip(operands, blobs, strict=True):
            self.build.writes(blob, operand.place)

    @property
    def vector(self) -> int:
        """Values of one access."""
        return self._arithmetic.vector

    def launch_flat(self, file: str, kernel: str, count: int, *arguments: Any) -> None:
        """As `launch`, for the type of the layout's values."""
        given = tuple(NULL if argument is None else argument for argument in arguments)
        self._arithmetic.launch(file, kernel, self.session.grid(count), BLOCK, given)

    def combine(self, kernel: str, *arguments: Any) -> None:
        """Run a kernel of ``eltwise.cu``."""
        self.launch_flat("eltwise.cu", kernel, -(-self.count // self.vector), *arguments)

    def sum_up(self, arrays: Sequence[Any], factors: Sequence[float], y: Any, slope: float | None = None) -> None:
        """y = relu(Σ factor · array), by as many kernels as it takes."""
        taken, rest = MOST, len(arrays)
        start: list[Any] = []
        while rest > 0:
            first = len(arrays) - rest
            part, weights = arrays[first : first + taken], list(factors[first : first + taken])
            rest -= len(part)
            last = slope if rest <= 0 else None
            given = [*start, *part], [*[1.0] * len(start), *weights]
            ending = np.int64(self.count), np.int32(last is not None), np.float32(last or 0.0)
            self.combine("weighted_sum", *filled(given[0]), *numbers(given[1]), y, *ending)
            start, taken = [y], MOST - 1


def filled(arrays: Sequence[Any]) -> list[Any]:
    """Arrays followed by None up to the number that a kernel takes."""
    return [*arrays, *[None] * (MOST - len(arrays))]


def numbers(factors: Sequence[float]) -> list[np.float32]:
    """Factors followed by zeros up to the number that a kernel takes."""
    return [np.float32(factor) for factor in (*factors, *[0.0] * (MOST - len(factors)))]
