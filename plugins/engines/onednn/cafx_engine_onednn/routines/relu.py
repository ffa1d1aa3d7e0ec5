"""ReLU."""

from __future__ import annotations

from ..api.constants import Alg, Arg
from ..api.pointwise import eltwise_backward, eltwise_forward
from ..execution import Execution, Run
from ..operands import Operand
from ..routine import Unary


class ReLU(Unary):
    """ReLU in whatever layout its bottom has."""

    def choose(self) -> None:
        """Any layout will do."""
        self.slope = self.layer.options.negative_slope
        self.desc = self.flat_layout(self.bottoms[0])
        self.build.set_layout(self.tops[0], self.layout(self.bottoms[0]))
        self.forward_desc = eltwise_forward(Alg.RELU, self.desc, self.desc, self.slope, training=self.training)

    def make_backward(self) -> Run:
        """One primitive, on the bottom's values as they are now: Caffe's rule in place too."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.desc
        x, dy = Operand(bottom.synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        gradient = eltwise_backward(Alg.RELU, desc, desc, desc, self.forward_desc, self.slope)
        return Execution([x, dy], [self.call(gradient, {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx})], [dx])
