"""Pooling: the maximum or the mean of each window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.reductions import THREADS, WIDTH
from cafx_engine_cudnn.routine import Accelerated
from cafx_engine_cupy.session import NULL

FILE = "pooling.cu"
MARKS = 255
"""Taps of a window that a byte can tell apart, with one value left for none of them."""
RECTIFIED_MARKS = 127
"""The same if one bit says whether the maximum is positive."""
BLOCKS_PER_MULTIPROCESSOR = 4
POSITIONS_PER_THREAD = 8
"""Positions that a thread adds up at least before a plane is divided among blocks."""
LARGEST_GRID = 65535


class Pooling(Accelerated):
    """y = the maximum or the mean of each window, and its gradient.

    A maximum leaves one byte for the backward pass, the number of the selected tap, which is a quarter
    of what an index takes; the gradient is gathered from the windows that contain a pixel, so that it
    needs neither atomic operations nor zeros before. Behind a ReLU (`Fusion.relu_of_bottom`) it
    computes that ReLU's gradient, too: what it selects is positive where the maximum is, which one bit
    of the byte says.
    """

    carried = ("_marks",)

    def choose(self) -> None:
        """MAX with at most 255 taps, and AVE."""
        layer = self.layer
        methods = type(layer.options).PoolMethod
        if len(self.tops) > 1:
            raise Unsupported("a mask as second top")
        if layer.options.pool not in (methods.MAX, methods.AVE):
            raise Unsupported(f"{layer.options.pool.name} pooling")
        self.is_max: bool = layer.options.pool == methods.MAX
        self._choose_marks(math.prod(layer.pool.window.kernel))
        self.x, self.y = self.data(self.bottoms[0]), self.data(self.tops[0])
        self.dx, self.dy = self.diff(self.bottoms[0]), self.diff(self.tops[0])
        self.build.writes(self.tops[0], self.y.place)

    def _choose_marks(self, taps: int) -> None:
        slope = self.fusion.relu_of_bottom
        if slope is not None and (not self.is_max or slope < 0):
            raise Unsupported("a ReLU's gradient behind a mean, or of a negative slope")
        marks = MARKS if slope is None else RECTIFIED_MARKS
        if self.is_max and taps > marks:
            raise Unsupported(f"a maximum of more than {marks} values")
        self._marks: Any = None

    @property
    def forward_uses(self) -> Access:
        """From the image to the pooled one."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From gradient to gradient."""
        return Access(reads=[self.dy], writes=[self.dx])

    @property
    def nbytes(self) -> int:
        """One byte per maximum."""
        return self.build.extent(self.tops[0]).count if self.is_max and self.training else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._marks = None

    # -- geometry

    @property
    def _covers_plane(self) -> bool:
        """Whether the only window is the whole plane."""
        pool = self.layer.pool
        axes = zip(pool.window.kernel, pool.window.pad, pool.inputs, strict=True)
        return pool.outputs == (1, 1) and all(kernel - pad >= size for kernel, pad, size in axes)

    def _geometry(self) -> tuple[np.int32, ...]:
        pool, packs = self.layer.pool, self.x.place.extent.padded // self.precision.vector  # type: ignore[attr-defined]
        window = *pool.window.kernel, *pool.window.stride, *pool.window.pad
        return tuple(map(np.int32, (self.bottoms[0].shape[0], *pool.inputs, packs, *pool.outputs, *window)))

    # -- passes

    def forward(self) -> None:
        """Write the pooled image."""
        x, y = self.x.read(), self.y.target()
        if self.is_max:
            marks = self._kept_marks() if self.training else None
            rectified = np.int32(self.fusion.relu_of_bottom is not None)
            self.launch(FILE, "max_forward", self.packs(self.tops[0]), x, y, marks, *self._geometry(), rectified)
        elif self._covers_plane:
            self._plane_means(x, y)
        else:
            self.launch(FILE, "mean_forward", self.packs(self.tops[0]), x, y, *self._geometry())
        self.y.written()

    def _kept_marks(self) -> Any:
        """Which tap each maximum is."""
        if self._marks is None:
            self._marks = self.session.cupy.empty(self.build.extent(self.tops[0]).count, np.uint8)
        return self._marks

    def _plane_means(self, x: Any, y: Any) -> None:
        """The means of whole planes; large planes are divided among blocks."""
        extent, vector = self.build.extent(self.bottoms[0]), self.precision.vector
        packs = extent.padded // vector
        width = min(WIDTH, 1 << (packs - 1).bit_length())
        across, down = -(-packs // width), min(extent.images, LARGEST_GRID)
        parts = self._parts(across * down, THREADS // width, extent.positions)
        size = np.float32(self._plane_size())
        count = y.size
        partial = self.build.scratch("partial planes", parts * count, np.float32) if parts > 1 else None
        sizes = np.int32(extent.images), np.int32(extent.positions), np.int32(packs)
        arguments = x, y, NULL if partial is None else partial, *sizes, size
        grid, block = (across, down, parts), (width, THREADS // width)
        self.precision.launch(FILE, "plane_sums", grid, block, arguments, THREADS * vector * 4)
        if partial is not None:
            self.launch(FILE, "plane_means", count, partial, y, np.int32(count), np.int32(parts), size)

    def _parts(self, blocks: int, height: int, positions: int) -> int:
        """Into how many parts planes are divided for the blocks to fill the GPU."""
        wanted = -(-self.session.multiprocessors * BLOCKS_PER_MULTIPROCESSOR // blocks)
        return max(1, min(wanted, positions // (height * POSITIONS_PER_THREAD)))

    def _plane_size(self) -> int:
        """The values of the window, padding included."""
        pool = self.layer.pool
        axes = zip(pool.window.kernel, pool.window.pad, pool.inputs, strict=True)
        return math.prod(min(kernel, size + 2 * pad) for kernel, pad, size in axes)

    def backward(self) -> None:
        """Write the image's gradient."""
        if not self.propagate_down[0]:
            return
        dy, dx, packs = self.dy.read(), self.dx.target(), self.packs(self.bottoms[0])
        if self.is_max:
            slope = self.fusion.relu_of_bottom
            rectified = np.int32(slope is not None), np.float32(slope or 0.0)
            self.launch(FILE, "max_backward", packs, dy, self._marks, dx, *self._geometry(), *rectified)
        else:
            self.launch(FILE, "mean_backward", packs, dy, dx, *self._geometry())
        self.dx.written()
