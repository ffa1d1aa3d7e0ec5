"""Pooling."""

from __future__ import annotations

import math
from typing import Any

from cafx.kernel import Unsupported

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.primitives import PrimitiveDesc
from ..api.windowed import Window, pooling_backward, pooling_forward
from ..execution import Execution, Run, Work
from ..operands import Bindable, Operand
from ..routine import Accelerated, pick
from .convolution import ACTIVATIONS


class Pooling(Accelerated):
    """Maximum and mean. Fused behind a ReLU, it computes that ReLU's gradient, on the pooled values."""

    def choose(self) -> None:
        """The bottom's layout, else blocks of 16 channels."""
        bottom, top = self.bottoms[0], self.tops[0]
        if len(self.tops) > 1:
            raise Unsupported("a mask as second top")
        self.window = self._window()
        if math.prod(self.window.kernel) > math.prod(bottom.shape[2:]):
            raise Unsupported("a window larger than its planes")  # oneDNN visits all of it
        self.algorithm = self._algorithm()
        kind = self.engine.type
        result = MemoryDesc.any(top.shape, kind)
        sources = [self.layout(bottom), MemoryDesc.tagged(bottom.shape, ACTIVATIONS[4], kind)]

        def forward_desc(source: MemoryDesc) -> PrimitiveDesc:
            return pooling_forward(self.algorithm, source, result, self.window, training=self.training)

        self.forward_desc = pick(*(lambda s=s: forward_desc(s) for s in sources))
        if self.training:
            self.backward_desc = pick(self._backward_desc)
        self.build.set_layout(top, self.forward_desc.dst)

    def _backward_desc(self) -> PrimitiveDesc:
        desc = self.forward_desc
        return pooling_backward(self.algorithm, desc.src, desc.dst, self.window, desc)

    def _window(self) -> Window:
        """The geometry; a last window that extends beyond the image is more padding at the end."""
        pool: Any = self.layer.pool
        window = pool.window
        axes = zip(pool.outputs, window.stride, window.kernel, pool.inputs, window.pad, strict=True)
        ends = tuple((o - 1) * s + k - i - p for o, s, k, i, p in axes)
        return Window(window.stride, window.pad, ends, kernel=window.kernel)

    def _algorithm(self) -> Alg:
        options, window = self.layer.options, self.window
        methods = type(options).PoolMethod
        if options.pool == methods.MAX:
            return Alg.POOLING_MAX
        if options.pool != methods.AVE:
            raise Unsupported(f"{options.pool.name} pooling")
        if not any(window.pad):
            return Alg.POOLING_AVG_EXCLUDE_PADDING
        if any(end > pad for end, pad in zip(window.pad_end, window.pad, strict=True)):
            raise Unsupported("a padded mean whose last window extends beyond the padding")
        return Alg.POOLING_AVG_INCLUDE_PADDING

    def _workspace(self) -> dict[int, Memory]:
        """Where each maximum was, for backward."""
        return self.held(Arg.WORKSPACE, self.forward_desc.workspace)

    def make_forward(self) -> Run:
        """One primitive."""
        x = Operand(self.bottoms[0].synced_data, self.forward_desc.src)
        y = Operand(self.tops[0].synced_data, self.forward_desc.dst)
        call = self.call(self.forward_desc, {Arg.SRC: x, Arg.DST: y, **self._workspace()})
        return Execution([x], [call], [y])

    def make_backward(self) -> Run:
        """One primitive; before it, if fused, the ReLU's gradient on the pooled values."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.forward_desc
        dy, dx = Operand(top.synced_diff, desc.dst), Operand(bottom.synced_diff, desc.src)
        reads, work = [dy], list[Work]()
        gradient: Bindable = dy
        if self.fusion.slope is not None:
            y = Operand(top.synced_data, desc.dst)
            gradient = self.build.scratch("pooled ReLU gradient", desc.dst)
            work.append(self.relu_gradient(y, dy, gradient, self.fusion.slope))
            reads.append(y)
        arguments = {Arg.DIFF_DST: gradient, Arg.DIFF_SRC: dx, **self._workspace()}
        return Execution(reads, [*work, self.call(self.backward_desc, arguments)], [dx])
