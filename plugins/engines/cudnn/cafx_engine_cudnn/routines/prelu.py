"""PReLU: a rectifier with learned slopes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.reductions import THREADS, Geometry, fold
from cafx_engine_cudnn.routine import Accelerated, ParameterGradient
from cafx_engine_cudnn.routines.activation import FILE
from cafx_engine_cupy.session import BLOCK, NULL


class PReLU(Accelerated):
    """y = x where x > 0, else a · x, with one slope a per channel or for all; and the gradients of both.

    The gradient and its sums over the pixels, which are that of the slopes, are computed in one pass.
    """

    carried = ("_kept",)

    def choose(self) -> None:
        """Channels-last; in place, the bottom is kept."""
        bottom, top, slopes = self.bottoms[0], self.tops[0], self.layer.blobs[0]
        if len(bottom.shape) < 2:
            raise Unsupported("no channels")
        self.x, self.y = self.data(bottom), self.data(top)
        self.dx, self.dy = self.diff(bottom), self.diff(top)
        self.build.writes(top, self.y.place)
        self.shared = not slopes.shape
        if self.shared:
            self.a, self.da = self.row_major(slopes.synced_data), self.row_major(slopes.synced_diff)
        else:
            place = self.build.packed(slopes.shape, (0,), (self.precision.padded(slopes.shape[0]),))
            self.a, self.da = self.operand(slopes.synced_data, place), self.operand(slopes.synced_diff, place)
            self.build.prefer_place(slopes, place)
        self._keeps = bottom.synced_data is top.synced_data and self.training
        self._kept: Any = None

    @property
    def forward_uses(self) -> Access:
        """From values to values."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From gradient to gradient, with the bottom's values."""
        reads = [self.dy, *([] if self._keeps else [self.x])]
        return Access(reads=reads, writes=[self.dx] if self.propagate_down[0] else [])

    @property
    def _count(self) -> int:
        """Values, padding included."""
        return self.build.extent(self.bottoms[0]).count

    @property
    def _sizes(self) -> tuple[Any, ...]:
        extent = self.build.extent(self.bottoms[0])
        return np.int64(extent.rows), np.int32(extent.padded // self.precision.vector), np.int32(self.shared)

    @property
    def nbytes(self) -> int:
        """The bottom, where it is overwritten."""
        return self._count * self.precision.value.itemsize if self._keeps else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._kept = None

    def forward(self) -> None:
        """Write the rectified values."""
        if self._keeps and self._kept is None:
            self._kept = self.session.cupy.empty(self._count, self.precision.value)
        arrays = self.x.read(), self.y.target(), self._kept if self._keeps else None, self.a.read()
        self.launch(FILE, "prelu_forward", self.packs(self.bottoms[0]), *arrays, *self._sizes)
        self.y.written()

    def backward(self) -> None:
        """Write the gradient; add to that of the slopes."""
        if self.layer.param_propagate_down[0]:
            ParameterGradient(self.da)(self._backward)
        elif self.propagate_down[0]:
            self._backward(None, False)

    def _backward(self, slopes: Any, add: bool) -> None:
        """The gradient of the bottom, if it is needed, and of the slopes, if there is where to write it."""
        extent = self.build.extent(self.bottoms[0])
        geometry = Geometry(extent.rows, extent.padded // self.precision.vector, self.session.multiprocessors)
        partial: Any = NULL
        if slopes is not None:
            partial = self.build.scratch("partial sums", geometry.grid[1] * extent.padded, np.float32)
        x, dy = self._kept if self._keeps else self.x.read(), self.dy.read()
        dx = self.dx.target() if self.propagate_down[0] else NULL
        arguments = x, dy, dx, self.a.read(), partial, *self._sizes
        memory = THREADS * self.precision.vector * 4
        self.precision.launch(FILE, "prelu_backward", geometry.grid, geometry.block, arguments, memory)
        if self.propagate_down[0]:
            self.dx.written()
        if slopes is not None:
            self._fold(partial, geometry.grid[1], slopes, add)

    def _fold(self, partial: Any, block_rows: int, slopes: Any, add: bool) -> None:
        """Add up the partial sums, of all channels if they share their slope."""
        padded = self.build.extent(self.bottoms[0]).padded
        if not self.shared:
            fold(self, partial, block_rows, padded, slopes, add)
            return
        count = block_rows * padded
        self.precision.launch(FILE, "total", (1,), BLOCK, (partial, slopes, np.int32(count), np.int32(add)))
