"""Permute and Transpose on the oneDNN engine: one reorder, out of whatever layout the bottom has."""

from __future__ import annotations

import numpy as np

from cafx.kernel import Unsupported
from cafx_engine_onednn.api.constants import Arg
from cafx_engine_onednn.api.memory import MemoryDesc, c_strides
from cafx_engine_onednn.api.pointwise import reorder
from cafx_engine_onednn.execution import NOTHING, Execution, Run
from cafx_engine_onednn.operands import Operand
from cafx_engine_onednn.routine import Accelerated, pick


class Permute(Accelerated):
    """The top is row-major: with its axes in the bottom's order, it is the bottom in another layout.

    Where it is the bottom in the same layout, as that of a channels-last convolution is, the bytes are copied.
    """

    def choose(self) -> None:
        """A reorder in each direction."""
        layer, bottom, top = self.layer, self.bottoms[0], self.tops[0]
        if layer.shares:
            raise Unsupported("data are shared")
        strides = c_strides(top.shape)
        positions = (layer.order.index(axis) for axis in range(bottom.num_axes))
        self.result = MemoryDesc.strided(bottom.shape, [strides[position] for position in positions])
        self.source = self.build.layout_of(bottom) or MemoryDesc.plain(bottom.shape)
        self.row_major = MemoryDesc.plain(top.shape)
        self.same_bytes = self.source == self.result
        if not self.same_bytes:
            self.forward_desc = pick(lambda: reorder(self.source, self.result))
            if self.training:
                self.backward_desc = pick(lambda: reorder(self.result, self.source))
        self.build.set_layout(top, None)

    def make_forward(self) -> Run:
        """One reorder."""
        x, y = Operand(self.bottoms[0].synced_data, self.source), Operand(self.tops[0].synced_data, self.row_major)
        if self.same_bytes:
            return Execution([x], [lambda: np.copyto(y.array, x.array)], [y])
        return Execution([x], [self.call(self.forward_desc, {Arg.SRC: x, Arg.DST: y.window(self.result)})], [y])

    def make_backward(self) -> Run:
        """One reorder back."""
        if not self.propagate_down[0]:
            return NOTHING
        dx, dy = Operand(self.bottoms[0].synced_diff, self.source), Operand(self.tops[0].synced_diff, self.row_major)
        if self.same_bytes:
            return Execution([dy], [lambda: np.copyto(dx.array, dy.array)], [dx])
        return Execution([dy], [self.call(self.backward_desc, {Arg.SRC: dy.window(self.result), Arg.DST: dx})], [dx])
