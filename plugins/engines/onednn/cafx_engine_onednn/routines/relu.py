"""ReLU by oneDNN."""

from __future__ import annotations

from ..api.constants import Alg, Arg
from ..api.pointwise import eltwise_backward, eltwise_forward
from ..operands import Operand
from ..routine import Pass, Run, Unary


class ReLU(Unary):
    """The unit in whatever layout its bottom has; in place its sign is the bottom's."""

    def plan(self) -> None:
        """Any layout will do."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        self.slope = self.layer.options.negative_slope
        self.desc = self.flat_layout(bottom)
        self.engine.settle(top, self.layout(bottom))
        self.ahead = eltwise_forward(Alg.RELU, self.desc, self.desc, self.slope, training=self.training)

    def make_backward(self) -> Run:
        """One primitive, on the bottom's values as they are now: Caffe's rule in place too."""
        bottom, top, desc = self.step.bottom[0], self.step.top[0], self.desc
        x, dy = Operand(bottom.synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        back = eltwise_backward(Alg.RELU, desc, desc, desc, self.ahead, self.slope)
        call = self.call(back, {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx})
        return Pass([x, dy], [call], [dx])
