"""Dropout alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Phase, Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.routine import Accelerated

FLOATS = 4
"""Values of a row-major array that share a byte of the mask."""


class Dropout(Accelerated):
    """y = x · mask / (1 − ratio) in TRAIN phase, in one kernel that draws the mask, too.

    It works on the bottom as its writer leaves it, channels-last or row-major. The mask is kept as bits.
    In TEST phase nothing is done in place; otherwise the values are copied.
    """

    carried = ("_mask",)

    def choose(self) -> None:
        """Any shape with channels."""
        bottom, top = self.bottoms[0], self.tops[0]
        if len(bottom.shape) < 2:
            raise Unsupported("no channels")
        self.packed = self.build.is_channels_last(bottom)
        self.x, self.dx = self._operand(bottom.synced_data), self._operand(bottom.synced_diff)
        self.y, self.dy = self._operand(top.synced_data), self._operand(top.synced_diff)
        self.drops = self.layer.phase is Phase.TRAIN
        self.in_place = bottom.synced_data is top.synced_data
        self.build.writes(top, self.y.place)
        self._mask: Any = None

    def _operand(self, storage: Any) -> Operand:
        bottom = self.bottoms[0]
        return self.operand(storage, self.build.channels_last(bottom)) if self.packed else self.row_major(storage)

    @property
    def forward_uses(self) -> Access:
        """From the values to those that are kept."""
        return Access(reads=[self.x], writes=[self.y]) if self._forward_works else Access()

    @property
    def backward_uses(self) -> Access:
        """From gradient to gradient."""
        return Access(reads=[self.dy], writes=[self.dx]) if self._backward_works else Access()

    @property
    def _forward_works(self) -> bool:
        return self.drops or not self.in_place

    @property
    def _backward_works(self) -> bool:
        same = self.bottoms[0].synced_diff is self.tops[0].synced_diff
        return self.propagate_down[0] and (self.drops or not same)

    @property
    def _items(self) -> int:
        """Bytes of the mask: one for what a thread works on at a time."""
        if self.packed:
            return self.packs(self.bottoms[0])
        return -(-self.bottoms[0].count_ // FLOATS)

    @property
    def nbytes(self) -> int:
        """The mask."""
        return self._items if self.drops else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._mask = None

    def forward(self) -> None:
        """Draw the mask and apply it."""
        if not self._forward_works:
            return
        x, y = self.x.read(), self.y.target()
        if self.drops:
            self._drop(x, y)
        else:
            y[...] = x
        self.y.written()

    def _drop(self, x: Any, y: Any) -> None:
        if self._mask is None:
            self._mask = self.session.cupy.empty(self._items, np.uint8)
        state = self.layer.context.draws.stream(self.layer.name)
        numbers = np.float32(self.layer.options.dropout_ratio), np.float32(self.layer.scale)
        kernel = "dropout" if self.packed else "dropout_floats"
        self.launch("dropout.cu", kernel, self._items, x, y, self._mask, state, self._count, *numbers)
        state[:1] += 1

    @property
    def _count(self) -> np.int64:
        """What the kernels loop over: packs, or values of a row-major array."""
        return np.int64(self._items if self.packed else self.bottoms[0].count_)

    def backward(self) -> None:
        """Apply the same mask to the gradient."""
        if not self._backward_works:
            return
        dy, dx = self.dy.read(), self.dx.target()
        if self.drops:
            kernel = "dropout_gradient" if self.packed else "dropout_gradient_floats"
            numbers = self._count, np.float32(self.layer.scale)
            self.launch("dropout.cu", kernel, self._items, dy, dx, self._mask, *numbers)
        else:
            dx[...] = dy
        self.dx.written()
