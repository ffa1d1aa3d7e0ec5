"""Eltwise by oneDNN: sums."""

from __future__ import annotations

from cafx.kernel import Unsupported
from cafx.kernel.blob import HOST, SyncedArray

from ..api.attributes import Attr, EltwiseOp
from ..api.constants import Alg, Arg, source_arg
from ..api.memory import MemoryDesc
from ..api.pointwise import binary, weighted_sum
from ..api.primitives import PrimitiveDesc
from ..operands import Operand
from ..routine import Accelerated, Pass, Run, several


class Eltwise(Accelerated):
    """A sum of two, with a unit behind it if fused, or a weighted sum of any number."""

    binds = True

    def plan(self) -> None:
        """The layout of the first bottom that is blocked."""
        options, step = self.layer.options, self.step
        if options.operation != type(options).EltwiseOp.SUM:
            raise Unsupported(f"{options.operation.name}, only SUM")
        if len({id(bottom.synced_data) for bottom in step.bottom}) < len(step.bottom) and step.top[0] in step.bottom:
            raise Unsupported("one blob twice, in place")
        homes = [self.engine.home(bottom) for bottom in step.bottom]
        home = next((desc for desc in homes if desc), None)
        self.desc = home or MemoryDesc.plain((step.top[0].count_,))
        self.factors = self.layer.coefficients
        self.plain_sum = len(step.bottom) == 2 and set(self.factors) == {1.0}
        if self.slope is not None and not self.plain_sum:
            raise Unsupported("a unit behind a weighted sum")
        self.ahead = self._ahead()
        self.engine.settle(step.top[0], home or MemoryDesc.plain(step.top[0].shape or (1,)))
        if self.training:
            self.engine.aliased.update(bottom for bottom, _ in self.aliases())

    @property
    def slope(self) -> float | None:
        """The slope of a unit fused behind it."""
        return self.fused.get("slope")

    def _ahead(self) -> PrimitiveDesc:
        desc = self.desc
        if self.plain_sum:
            attr = Attr() if self.slope is None else Attr([EltwiseOp(Alg.RELU, self.slope)])
            return binary(Alg.BINARY_ADD, desc, desc, desc, attr=attr)
        return weighted_sum([desc] * len(self.factors), list(self.factors), desc)

    def _shares(self, index: int) -> bool:
        """Whether a bottom's gradient lies in the top's memory; never where plain layers see it."""
        blocked = Operand(self.step.top[0].synced_diff, self.desc).place is not HOST
        return blocked and self.factors[index] == 1 and self.step.bottom[index] is not self.step.top[0]

    def aliases(self) -> list[tuple[SyncedArray, SyncedArray]]:
        """The bottoms whose gradient is the top's."""
        top, wanted = self.step.top[0].synced_diff, self.step.propagate_down
        shared = [i for i in range(len(self.step.bottom)) if wanted[i] and self._shares(i)]
        return [(self.step.bottom[i].synced_diff, top) for i in shared]

    def make_forward(self) -> Run:
        """One primitive."""
        xs = [Operand(bottom.synced_data, self.desc) for bottom in self.step.bottom]
        y = Operand(self.step.top[0].synced_data, self.desc)
        args = (Arg.SRC, Arg.SRC_1) if self.plain_sum else map(source_arg, range(len(xs)))
        call = self.call(self.ahead, {**dict(zip(args, xs, strict=True)), Arg.DST: y})
        return Pass(xs, [call], [y])

    def make_backward(self) -> Run:
        """The unit's gradient; then each bottom's is the top's own, or a multiple of it."""
        top, desc = self.step.top[0], self.desc
        dy = Operand(top.synced_diff, desc)
        passes: list[Run] = []
        if self.slope is not None:
            y, masked = Operand(top.synced_data, desc), self.own_diff(top, desc)
            passes.append(Pass([y, dy], [self.mask_by(y, dy, masked, self.slope)], [masked]))
            dy = Operand(top.synced_diff, desc)
        for index, bottom in enumerate(self.step.bottom):
            if not self.step.propagate_down[index]:
                continue
            dx = Operand(bottom.synced_diff, desc)
            if self._shares(index):
                passes.append(_share(dy, dx))
            else:
                scaled = weighted_sum([desc], [self.factors[index]], desc)
                call = self.call(scaled, {source_arg(0): dy, Arg.DST: dx})
                passes.append(Pass([dy], [call], [dx]))
        return several(passes) if passes else _nothing


def _share(source: Operand, target: Operand) -> Run:
    """The target holds the very memory of the source."""
    target.synced.arrays[source.place] = source.bind().array

    def run() -> None:
        source.fresh()
        target.synced.put(source.place, source.array)

    return run


def _nothing() -> None:
    """No bottom wants a gradient."""
