"""ReLU."""

from __future__ import annotations

from ..exact import relu, require_kernels
from ..execution import Execution, Run
from ..operands import Operand
from ..routine import Accelerated


class ReLU(Accelerated):
    """ReLU in whatever layout its bottom has."""

    def choose(self) -> None:
        """Any layout will do."""
        require_kernels()
        self.slope = self.layer.options.negative_slope
        self.desc = self.flat_layout(self.bottoms[0])
        self.build.set_layout(self.tops[0], self.layout(self.bottoms[0]))

    def make_forward(self) -> Run:
        """One kernel."""
        x, y = (Operand(each.synced_data, self.desc) for each in (self.bottoms[0], self.tops[0]))
        return Execution([x], [relu(self.build, x, y, self.slope)], [y])

    def make_backward(self) -> Run:
        """One kernel, on the bottom's values as they are now: Caffe's rule in place too."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.desc
        x, dy = Operand(bottom.synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        return Execution([x, dy], [self.relu_gradient(x, dy, dx, self.slope)], [dx])
