"""Eltwise sums."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import Unsupported
from cafx.kernel.blob import HOST, SyncedArray
from cafx.kernel.net import Access

from ..api.constants import Alg, Arg, source_arg
from ..api.memory import MemoryDesc
from ..api.pointwise import binary, weighted_sum
from ..api.primitives import PrimitiveDesc
from ..exact import valuewise
from ..execution import NOTHING, Execution, InOrder, Run
from ..layouts import place_of
from ..operands import Operand
from ..routine import Accelerated


class Eltwise(Accelerated):
    """A sum of two bottoms, with a ReLU behind it if fused; or a weighted sum of any number."""

    def choose(self) -> None:
        """The layout of the first bottom that is blocked."""
        options = self.layer.options
        if options.operation != type(options).EltwiseOp.SUM:
            raise Unsupported(f"{options.operation.name}, only SUM")
        distinct = {bottom.synced_data for bottom in self.bottoms}
        if len(distinct) < len(self.bottoms) and self.tops[0] in self.bottoms:
            raise Unsupported("one blob twice, in place")
        layouts = [self.build.layout_of(bottom) for bottom in self.bottoms]
        layout = next((desc for desc in layouts if desc), None)
        self.desc = layout or MemoryDesc.plain((self.tops[0].count_,))
        self.coefficients = self.layer.coefficients
        self.plain_sum = len(self.bottoms) == 2 and set(self.coefficients) == {1.0}
        if self.fusion.slope is not None and not self.plain_sum:
            raise Unsupported("a ReLU behind a weighted sum")
        self.forward_desc = self._forward_desc()
        self.build.set_layout(self.tops[0], layout)
        if self.training:
            self.build.aliased.update(self._aliases())

    def _forward_desc(self) -> PrimitiveDesc:
        desc = self.desc
        if self.plain_sum:
            return binary(Alg.BINARY_ADD, desc, desc, desc)
        return weighted_sum([desc] * len(self.coefficients), list(self.coefficients), desc)

    def _shares_gradient(self, index: int) -> bool:
        """Whether a bottom's gradient is in the top's memory; never where layers as written see it."""
        blocked = place_of(self.desc) is not HOST
        return blocked and self.coefficients[index] == 1 and self.bottoms[index] is not self.tops[0]

    def _aliases(self) -> list[SyncedArray]:
        """The gradients that are in the memory of the top's."""
        needed = [i for i, down in enumerate(self.propagate_down) if down]
        return [self.bottoms[i].synced_diff for i in needed if self._shares_gradient(i)]

    def make_forward(self) -> Run:
        """One primitive, or one kernel for a sum with a ReLU."""
        xs = [Operand(bottom.synced_data, self.desc) for bottom in self.bottoms]
        y = Operand(self.tops[0].synced_data, self.desc)
        if self.fusion.slope is not None:
            return Execution(xs, [valuewise(self.build, "relu_of_sum", *xs, y, self.fusion.slope)], [y])
        args = (Arg.SRC, Arg.SRC_1) if self.plain_sum else map(source_arg, range(len(xs)))
        call = self.call(self.forward_desc, {**dict(zip(args, xs, strict=True)), Arg.DST: y})
        return Execution(xs, [call], [y])

    def make_backward(self) -> Run:
        """The ReLU's gradient; then each bottom's is the top's, or a multiple of it."""
        top, desc = self.tops[0], self.desc
        dy = Operand(top.synced_diff, desc)
        runs: list[Run] = []
        if self.fusion.slope is not None:
            y, masked = Operand(top.synced_data, desc), self.own_diff(top, desc)
            runs.append(Execution([y, dy], [self.relu_gradient(y, dy, masked, self.fusion.slope)], [masked]))
            dy = Operand(top.synced_diff, desc)
        for index, bottom in enumerate(self.bottoms):
            if not self.propagate_down[index]:
                continue
            dx = Operand(bottom.synced_diff, desc)
            if self._shares_gradient(index):
                runs.append(SharedGradient(dy, dx))
            else:
                scaled = weighted_sum([desc], [self.coefficients[index]], desc)
                runs.append(Execution([dy], [self.call(scaled, {source_arg(0): dy, Arg.DST: dx})], [dx]))
        return InOrder(runs) if runs else NOTHING


class SharedGradient:
    """A bottom's gradient that is in the memory of the top's.

    Args:
        source: the top's.
        target: the bottom's.
    """

    def __init__(self, source: Operand, target: Operand) -> None:
        self._source, self._target = source, target
        self._reading = Execution([source], [])

    @property
    def accesses(self) -> Sequence[Access]:
        """The target takes the source's memory."""
        return [Access([self._source], aliases=[(self._target, self._source)])]

    def release(self) -> None:
        """Let go of memory."""
        self._reading.release()
        self._target.release()

    def __call__(self) -> None:
        """Bring the source up to date and hand its memory on."""
        self._reading()
        self._target.storage.mark_written(self._source.place, self._source.array)
