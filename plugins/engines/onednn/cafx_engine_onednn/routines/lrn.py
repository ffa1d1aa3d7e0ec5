"""Local response normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from cafx.kernel import Unsupported

from ..api.constants import Alg, Arg, DataType
from ..api.memory import Memory, MemoryDesc
from ..api.normalization import lrn_backward, lrn_forward
from ..api.primitives import PrimitiveDesc
from ..exact import require_kernels
from ..execution import Deferred, Execution, Run
from ..operands import Bindable, Operand
from ..routine import Accelerated, pick
from .chain import chain
from .convolution import ACTIVATIONS

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase

WIDEST = 5
"""Channels of the widest neighbourhood whose gradient is right on channels-last memory of more than 16 channels."""


class LRN(Accelerated):
    """Across channels and within them."""

    response: Any = None
    """What kernels of our own compute, where oneDNN has no fast primitives."""

    def choose(self) -> None:
        """The bottom's layout, else blocks of 16 channels."""
        try:
            self._choose_primitives()
        except Unsupported:
            if not self._choose_kernels():
                raise

    def _choose_kernels(self) -> bool:
        """Blocks of 16 channels; False if there are no kernels for the options."""
        require_kernels()
        from ..response import POWERS, REACH, Response  # needs llvmlite, which is not everywhere

        options, shape = self.layer.options, self.bottoms[0].shape
        if not self.layer.across_channels or options.local_size > REACH or options.beta not in POWERS:
            return False
        constants = {"alpha": options.alpha, "beta": options.beta, "k": options.k}
        bfloat16 = self.engine.type == DataType.BF16
        self.response = Response(size=options.local_size, bfloat16=bfloat16, **constants)
        self.desc = MemoryDesc.tagged(shape, ACTIVATIONS[4], self.engine.type)
        self.build.set_layout(self.tops[0], self.desc)
        return True

    def _program(self, **memory: Bindable) -> Any:
        from ..response import program

        common = {"keeps": self.training, "threads": self.build.threads, "scratch": self.build.scratch.floats}
        return program(self.response, self.bottoms[0].shape, memory | self._scale(), **common)

    def _scale(self) -> dict[str, Memory]:
        """What forward leaves for backward: s."""
        values = math.prod(self.desc.padded_dims)
        return {"scale": self.held(Arg.WORKSPACE, MemoryDesc.plain((values,)))[Arg.WORKSPACE]} if self.training else {}

    def _choose_primitives(self) -> None:
        options, bottom = self.layer.options, self.bottoms[0]
        across = self.layer.across_channels
        if self.training and across and options.local_size > WIDEST:
            raise Unsupported(f"oneDNN's gradient across more than {WIDEST} channels")
        self.algorithm = Alg.LRN_ACROSS_CHANNELS if across else Alg.LRN_WITHIN_CHANNEL
        constants = options.local_size, options.alpha, options.beta, options.k if across else 1.0
        self.constants: tuple[int, float, float, float] = constants
        blocked = MemoryDesc.tagged(bottom.shape, ACTIVATIONS[4], self.engine.type)
        self.forward_desc = pick(lambda: self._forward_desc(self.layout(bottom)), lambda: self._forward_desc(blocked))
        if self.training:
            self.backward_desc = pick(self._backward_desc, lambda: self._both_blocked(blocked))
        self.desc = self.forward_desc.src
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
        """One primitive or kernel."""
        x, y = (Operand(each.synced_data, self.desc) for each in (self.bottoms[0], self.tops[0]))
        if self.response:
            return Execution([x], [Deferred(partial(self._program, x=x, result=y))], [y])
        call = self.call(self.forward_desc, {Arg.SRC: x, Arg.DST: y, **self._workspace()})
        return Execution([x], [call], [y])

    def make_backward(self) -> Run:
        """One primitive or kernel."""
        bottom, top = self.bottoms[0], self.tops[0]
        x, dy, dx = (Operand(each, self.desc) for each in (bottom.synced_data, top.synced_diff, bottom.synced_diff))
        if self.response:
            return Execution([x, dy], [Deferred(partial(self._program, x=x, dy=dy, result=dx))], [dx])
        arguments: dict[int, Bindable] = {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx, **self._workspace()}
        return Execution([x, dy], [self.call(self.backward_desc, arguments)], [dx])

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """16 channels, as the primitives have them, and a neighbourhood that they are slow for."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("sixteen-channels", chain('type: "LRN" lrn_param { local_size: 5 alpha: 0.1 }'))
        yield EngineCase("three-channels", chain('type: "LRN" lrn_param { local_size: 3 alpha: 0.1 }'))
