"""Split: the gradients of all readers summed by one primitive."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import Blob
from cafx.kernel.net import Access

from ..api.constants import Arg, source_arg
from ..api.memory import MemoryDesc
from ..api.pointwise import weighted_sum
from ..execution import NOTHING, Execution, Run
from ..operands import Operand
from ..routine import Accelerated


class Split(Accelerated):
    """Forward does nothing, since the tops share the bottom's data; backward is one sum."""

    def choose(self) -> None:
        """The bottom's layout."""
        self.desc = self.flat_layout(self.bottoms[0])

    def make_forward(self) -> Run:
        """Nothing."""
        return NOTHING

    def make_backward(self) -> Run:
        """A sum over the tops that have a gradient."""
        return SumOfGradients(self, self.desc) if self.propagate_down[0] else NOTHING


class SumOfGradients:
    """dx = Σ dy over the tops whose gradient somebody wrote; the others are zero.

    Args:
        routine: the Split.
        desc: the layout of all gradients.
    """

    def __init__(self, routine: Split, desc: MemoryDesc) -> None:
        self._routine, self._desc = routine, desc
        self._dx = Operand(routine.bottoms[0].synced_diff, desc)
        self._dys = {top: Operand(top.synced_diff, desc) for top in routine.tops}
        self._sums: dict[tuple[Blob, ...], Execution] = {}

    @property
    def accesses(self) -> Sequence[Access]:
        """Reads the gradients that will have been written; which, is known when it runs."""
        return [Access(list(self._dys.values()), [self._dx])]

    def release(self) -> None:
        """Let go of memory."""
        for each in self._sums.values():
            each.release()
        for operand in (self._dx, *self._dys.values()):
            operand.release()

    def __call__(self) -> None:
        """Sum up."""
        written = tuple(top for top in self._routine.tops if top.synced_diff.current)
        if not written:
            self._dx.storage.zero()
            return
        if written not in self._sums:
            self._sums[written] = self._sum([self._dys[top] for top in written])
        self._sums[written]()

    def _sum(self, dys: list[Operand]) -> Execution:
        desc = weighted_sum([self._desc] * len(dys), [1.0] * len(dys), self._desc)
        arguments = {Arg.DST: self._dx, **{source_arg(i): dy for i, dy in enumerate(dys)}}
        return Execution(dys, [self._routine.call(desc, arguments)], [self._dx])
