"""PReLU in inference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Unsupported

from ..api.constants import Arg
from ..api.memory import MemoryDesc
from ..api.pointwise import prelu_forward
from ..execution import NOTHING, Execution, Run
from ..operands import Operand
from ..routine import Accelerated, pick
from .chain import chain

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase


class PReLU(Accelerated):
    """PReLU in whatever layout its bottom has."""

    def choose(self) -> None:
        """The bottom's layout; the slopes' is oneDNN's choice."""
        if self.training:
            raise Unsupported("its gradients")
        bottom, slopes = self.bottoms[0], self.layer.blobs[0]
        desc = self.layout(bottom)
        weights = MemoryDesc.any((1, slopes.count_, *(1,) * (bottom.num_axes - 2)))
        self.forward_desc = pick(lambda: prelu_forward(desc, weights, desc))
        self.build.set_layout(self.tops[0], desc)

    def make_forward(self) -> Run:
        """One primitive."""
        desc = self.forward_desc
        x, y = (Operand(each.synced_data, desc.src) for each in (self.bottoms[0], self.tops[0]))
        slopes = Operand(self.layer.blobs[0].synced_data, desc.weights)
        arguments = {Arg.SRC: x, Arg.WEIGHTS: slopes, Arg.DST: y}
        return Execution([x, slopes], [self.call(desc, arguments)], [y])

    def make_backward(self) -> Run:
        """There is none in inference."""
        return NOTHING

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Behind a convolution, whose top is not row-major."""
        from cafx.conformance.kinds.engine import EngineCase

        filler = 'filler { type: "uniform" min: 0.1 max: 0.5 }'
        yield EngineCase("behind-convolution", chain(f'type: "PReLU" prelu_param {{ {filler} }}'))
