"""Softmax by oneDNN."""

from __future__ import annotations

from ..api.constants import Arg
from ..api.memory import MemoryDesc
from ..api.normalization import softmax_backward, softmax_forward
from ..operands import Operand
from ..routine import Pass, Run, Unary, pick


class Softmax(Unary):
    """Along any axis, on plain memory, which is what reads scores."""

    def plan(self) -> None:
        """Row-major."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        desc = self.desc = MemoryDesc.plain(bottom.shape)
        axis = self.layer.softmax_axis
        self.ahead = pick(lambda: softmax_forward(desc, desc, axis, training=self.training))
        if self.training:
            self.back = pick(lambda: softmax_backward(desc, desc, desc, axis, self.ahead))
        self.engine.settle(top, desc)

    def make_backward(self) -> Run:
        """One primitive."""
        bottom, top, desc = self.step.bottom[0], self.step.top[0], self.desc
        y, dy, dx = (Operand(each, desc) for each in (top.synced_data, top.synced_diff, bottom.synced_diff))
        call = self.call(self.back, {Arg.DST: y, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx})
        return Pass([y, dy], [call], [dx])
