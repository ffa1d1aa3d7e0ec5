"""Concat by oneDNN."""

from __future__ import annotations

from cafx.kernel import Unsupported

from ..api.constants import Arg, source_arg
from ..api.memory import MemoryDesc
from ..api.pointwise import concat, reorder
from ..layouts import is_row_major
from ..operands import Operand
from ..routine import Accelerated, Pass, Run

BLOCK = 16


class Concat(Accelerated):
    """Bottoms joined in whatever layouts they have; the way back is a reorder out of each part."""

    binds = True

    def plan(self) -> None:
        """Blocks where every part fills them, else channels last; plain where nothing is blocked."""
        step, layer = self.step, self.layer
        if len(step.bottom) < 2:
            raise Unsupported("one bottom shares its memory")
        if not 1 <= len(step.top[0].shape) <= 5:
            raise Unsupported("more than five axes")
        self.sources = [self.layout(bottom) for bottom in step.bottom]
        self.result = self._result()
        self.ahead = concat(self.sources, layer.concat_axis, self.result)
        self.parts = self._parts() if self.training else []
        self.engine.settle(step.top[0], self.result)

    def _result(self) -> MemoryDesc:
        shape, kind = self.step.top[0].shape, self.engine.type
        if all(map(is_row_major, self.sources)):
            return MemoryDesc.plain(shape, kind)
        aligned = self.layer.concat_axis != 1 or all(bottom.shape[1] % BLOCK == 0 for bottom in self.step.bottom)
        if aligned:
            free = concat(self.sources, self.layer.concat_axis, None)
            return free.dst
        return MemoryDesc.channels_last(shape, kind)

    def _parts(self) -> list[MemoryDesc]:
        """Each bottom's window in the top."""
        parts, offset = [], [0] * len(self.step.top[0].shape)
        for bottom in self.step.bottom:
            parts.append(self.result.part(bottom.shape, offset))
            offset[self.layer.concat_axis] += bottom.shape[self.layer.concat_axis]
        return parts

    def make_forward(self) -> Run:
        """One primitive."""
        pairs = zip(self.step.bottom, self.sources, strict=True)
        xs = [Operand(bottom.synced_data, desc) for bottom, desc in pairs]
        y = Operand(self.step.top[0].synced_data, self.result)
        arguments = {Arg.DST: y, **{source_arg(i): x for i, x in enumerate(xs)}}
        return Pass(xs, [self.call(self.ahead, arguments)], [y])

    def make_backward(self) -> Run:
        """A reorder for each bottom that wants its gradient."""
        dy = Operand(self.step.top[0].synced_diff, self.result)
        dy.bind()
        calls, results = [], []
        for bottom, source, part, wanted in zip(
            self.step.bottom, self.sources, self.parts, self.step.propagate_down, strict=True
        ):
            if wanted:
                dx = Operand(bottom.synced_diff, source)
                window = dy.window(part)
                calls.append(self.call(reorder(part, source), {Arg.SRC: window, Arg.DST: dx}))
                results.append(dx)
        return Pass([dy], calls, results)
