"""Pooling by oneDNN."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Unsupported

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.primitives import PrimitiveDesc
from ..api.windowed import Window, pooling_backward, pooling_forward
from ..operands import Operand
from ..routine import Accelerated, Pass, Run, pick
from ..routines.convolution import ACTIVATIONS


class Pooling(Accelerated):
    """Maximum and mean; with a unit before it whose gradient it takes on the pooled values."""

    binds = True

    def plan(self) -> None:
        """The bottom's layout, else blocks."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        if len(self.step.top) > 1:
            raise Unsupported("a mask as second top")
        self.window = self._window()
        self.algorithm = self._algorithm()
        kind = self.engine.type
        result = MemoryDesc.any(top.shape, kind)
        sources = [self.layout(bottom), MemoryDesc.tagged(bottom.shape, ACTIVATIONS[4], kind)]

        def ahead(source: MemoryDesc) -> PrimitiveDesc:
            return pooling_forward(self.algorithm, source, result, self.window, training=self.training)

        self.ahead = pick(*(lambda s=s: ahead(s) for s in sources))
        if self.training:
            self.back = pick(self._back)
        self.engine.settle(top, self.ahead.dst)

    def _back(self) -> PrimitiveDesc:
        ahead = self.ahead
        return pooling_backward(self.algorithm, ahead.src, ahead.dst, self.window, ahead)

    def _window(self) -> Window:
        """The geometry; a last window that hangs over is a larger pad at the end."""
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
            raise Unsupported("a padded mean whose last window hangs over")
        return Alg.POOLING_AVG_INCLUDE_PADDING

    def _workspace(self) -> dict[int, Memory]:
        """Where each maximum was, kept for backward."""
        return self.kept(Arg.WORKSPACE, self.ahead.workspace)

    def make_forward(self) -> Run:
        """One primitive."""
        x = Operand(self.step.bottom[0].synced_data, self.ahead.src)
        y = Operand(self.step.top[0].synced_data, self.ahead.dst)
        call = self.call(self.ahead, {Arg.SRC: x, Arg.DST: y, **self._workspace()})
        return Pass([x], [call], [y])

    def make_backward(self) -> Run:
        """One primitive; before it, if it is fused, the unit's gradient on the pooled values."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        dy, dx = Operand(top.synced_diff, self.ahead.dst), Operand(bottom.synced_diff, self.ahead.src)
        reads, runs, given = [dy], [], None
        if "slope" in self.fused:
            y = Operand(top.synced_data, self.ahead.dst)
            given = self.engine.spare(Arg.DIFF_DST, self.ahead.dst)
            runs.append(self.mask_by(y, dy, given, self.fused["slope"]))
            reads.append(y)
        arguments = {Arg.DIFF_DST: given or dy, Arg.DIFF_SRC: dx, **self._workspace()}
        return Pass(reads, [*runs, self.call(self.back, arguments)], [dx])
