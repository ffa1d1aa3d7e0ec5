"""ReLU6 on the oneDNN engine."""

from __future__ import annotations

from cafx.kernel import Unsupported
from cafx_engine_onednn.exact import require_kernels, valuewise
from cafx_engine_onednn.execution import NOTHING, Execution, Run
from cafx_engine_onednn.operands import Operand
from cafx_engine_onednn.routine import Accelerated
from cafx_layer_relu6 import CAP


class ReLU6(Accelerated):
    """ReLU6 in whatever layout its bottom has, by kernels that keep NaN."""

    def choose(self) -> None:
        """Any layout will do."""
        if self.layer.options.negative_slope:
            raise Unsupported("leaky")
        require_kernels()
        self.desc = self.flat_layout(self.bottoms[0])
        self.build.set_layout(self.tops[0], self.layout(self.bottoms[0]))

    def make_forward(self) -> Run:
        """One kernel."""
        x, y = (Operand(each.synced_data, self.desc) for each in (self.bottoms[0], self.tops[0]))
        return Execution([x], [valuewise(self.build, "clip", x, x, y, 0, CAP)], [y])

    def make_backward(self) -> Run:
        """One kernel, on the bottom's values as they are now: in place, those between the bounds are the same."""
        if not self.propagate_down[0]:
            return NOTHING
        bottom, top, desc = self.bottoms[0], self.tops[0], self.desc
        x, dy = Operand(bottom.synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        return Execution([x, dy], [valuewise(self.build, "inside_gradient", x, dy, dx, 0, CAP)], [dx])
