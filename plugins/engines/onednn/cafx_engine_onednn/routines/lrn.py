"""Local response normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.normalization import lrn_backward, lrn_forward
from ..api.primitives import PrimitiveDesc
from ..execution import Execution, Run
from ..operands import Bindable, Operand
from ..routine import Accelerated, pick
from .chain import chain
from .convolution import ACTIVATIONS

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase


class LRN(Accelerated):
    """Across channels and within them."""

    def choose(self) -> None:
        """The bottom's layout, else blocks of 16 channels."""
        options, bottom = self.layer.options, self.bottoms[0]
        across = self.layer.across_channels
        self.algorithm = Alg.LRN_ACROSS_CHANNELS if across else Alg.LRN_WITHIN_CHANNEL
        constants = options.local_size, options.alpha, options.beta, options.k if across else 1.0
        self.constants: tuple[int, float, float, float] = constants
        blocked = MemoryDesc.tagged(bottom.shape, ACTIVATIONS[4], self.engine.type)
        self.forward_desc = pick(lambda: self._forward_desc(self.layout(bottom)), lambda: self._forward_desc(blocked))
        if self.training:
            self.backward_desc = pick(self._backward_desc, lambda: self._both_blocked(blocked))
        self.build.set_layout(self.tops[0], self.forward_desc.dst)

    def _forward_desc(self, source: MemoryDesc) -> PrimitiveDesc:
        return lrn_forward(self.algorithm, source, source, *self.constants, training=self.training)

    def _backward_desc(self) -> PrimitiveDesc:
        desc = self.forward_desc.src
        return lrn_backward(self.algorithm, desc, desc, desc, *self.constants, self.forward_desc)

    def _both_blocked(self, blocked: MemoryDesc) -> PrimitiveDesc:
        """Both passes in blocks, where only these have a fast backward pass."""
        self.forward_desc = pick(lambda: self._forward_desc(blocked))
        return self._backward_desc()

    def _workspace(self) -> dict[int, Memory]:
        """What forward leaves for backward."""
        return self.held(Arg.WORKSPACE, self.forward_desc.workspace)

    def make_forward(self) -> Run:
        """One primitive."""
        x = Operand(self.bottoms[0].synced_data, self.forward_desc.src)
        y = Operand(self.tops[0].synced_data, self.forward_desc.dst)
        call = self.call(self.forward_desc, {Arg.SRC: x, Arg.DST: y, **self._workspace()})
        return Execution([x], [call], [y])

    def make_backward(self) -> Run:
        """One primitive."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.forward_desc.src
        x, dy, dx = (Operand(each, desc) for each in (bottom.synced_data, top.synced_diff, bottom.synced_diff))
        arguments: dict[int, Bindable] = {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx, **self._workspace()}
        return Execution([x, dy], [self.call(self.backward_desc, arguments)], [dx])

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """16 channels, as the primitives have them."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("sixteen-channels", chain('type: "LRN" lrn_param { local_size: 5 alpha: 0.1 }'))
