"""Local response normalisation by oneDNN."""

from __future__ import annotations

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.normalization import lrn_backward, lrn_forward
from ..api.primitives import PrimitiveDesc
from ..operands import Operand
from ..routine import Accelerated, Pass, Run, pick
from ..routines.convolution import ACTIVATIONS


class LRN(Accelerated):
    """Across channels and within them."""

    binds = True

    def plan(self) -> None:
        """The bottom's layout, else blocks."""
        options, bottom, top = self.layer.options, self.step.bottom[0], self.step.top[0]
        across = self.layer.across_channels
        self.algorithm = Alg.LRN_ACROSS_CHANNELS if across else Alg.LRN_WITHIN_CHANNEL
        constants = options.local_size, options.alpha, options.beta, options.k if across else 1.0
        self.constants: tuple[int, float, float, float] = constants
        blocked = MemoryDesc.tagged(bottom.shape, ACTIVATIONS[4], self.engine.type)
        self.ahead = pick(lambda: self._ahead(self.layout(bottom)), lambda: self._ahead(blocked))
        if self.training:
            self.back = pick(self._back, lambda: self._fallback(blocked))
        self.engine.settle(top, self.ahead.dst)

    def _ahead(self, source: MemoryDesc) -> PrimitiveDesc:
        return lrn_forward(self.algorithm, source, source, *self.constants, training=self.training)

    def _back(self) -> PrimitiveDesc:
        desc = self.ahead.src
        return lrn_backward(self.algorithm, desc, desc, desc, *self.constants, self.ahead)

    def _fallback(self, blocked: MemoryDesc) -> PrimitiveDesc:
        """Both ways in blocks, where only these have a fast way back."""
        self.ahead = pick(lambda: self._ahead(blocked))
        return self._back()

    def _workspace(self) -> dict[int, Memory]:
        """What forward leaves for backward."""
        return self.kept(Arg.WORKSPACE, self.ahead.workspace)

    def make_forward(self) -> Run:
        """One primitive."""
        x = Operand(self.step.bottom[0].synced_data, self.ahead.src)
        y = Operand(self.step.top[0].synced_data, self.ahead.dst)
        call = self.call(self.ahead, {Arg.SRC: x, Arg.DST: y, **self._workspace()})
        return Pass([x], [call], [y])

    def make_backward(self) -> Run:
        """One primitive."""
        bottom, top, desc = self.step.bottom[0], self.step.top[0], self.ahead.src
        x, dy, dx = (Operand(each, desc) for each in (bottom.synced_data, top.synced_diff, bottom.synced_diff))
        arguments: dict[int, Operand | Memory] = {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx, **self._workspace()}
        return Pass([x, dy], [self.call(self.back, arguments)], [dx])
