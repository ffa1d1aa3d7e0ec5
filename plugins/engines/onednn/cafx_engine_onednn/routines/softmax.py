"""Softmax."""

from __future__ import annotations

from ..api.constants import Arg
from ..api.memory import MemoryDesc
from ..api.normalization import softmax_backward, softmax_forward
from ..exact import Guard, require_kernels
from ..execution import Execution, Run
from ..operands import Operand
from ..routine import Unary, pick


class Softmax(Unary):
    """Along any axis, on row-major memory, which is what readers of scores expect."""

    def choose(self) -> None:
        """Row-major."""
        desc = self.desc = MemoryDesc.plain(self.bottoms[0].shape)
        axis = self.layer.softmax_axis
        self.forward_desc = pick(lambda: softmax_forward(desc, desc, axis, training=self.training))
        if self.training:
            self.backward_desc = pick(lambda: softmax_backward(desc, desc, desc, axis, self.forward_desc))
        require_kernels()
        self.build.set_layout(self.tops[0], None)

    def make_forward(self) -> Run:
        """One primitive; as written where it meets NaN, which oneDNN would keep out of the sums."""
        x, y = (Operand(each.synced_data, self.desc) for each in (self.bottoms[0], self.tops[0]))
        call = self.call(self.forward_desc, {Arg.SRC: x, Arg.DST: y})
        return Execution([x], [call, Guard(self.build.threads, lambda: [self.reference.forward])], [y])

    def make_backward(self) -> Run:
        """One primitive."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.desc
        y, dy, dx = (Operand(each, desc) for each in (top.synced_data, top.synced_diff, bottom.synced_diff))
        call = self.call(self.backward_desc, {Arg.DST: y, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx})
        return Execution([y, dy], [call], [dx])
