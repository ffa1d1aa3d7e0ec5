"""Split by oneDNN: the gradients of all readers added up in one primitive."""

from __future__ import annotations

from cafx.kernel import Blob

from ..api.constants import Arg, source_arg
from ..api.pointwise import weighted_sum
from ..operands import Operand
from ..routine import Accelerated, Pass, Run


class Split(Accelerated):
    """Forward does nothing, the data are shared; backward is one sum."""

    binds = True

    def plan(self) -> None:
        """The bottom's layout."""
        self.desc = self.flat_layout(self.step.bottom[0])

    def make_forward(self) -> Run:
        """Nothing."""
        return _nothing

    def make_backward(self) -> Run:
        """A sum over the tops that somebody wrote a gradient to; another is zero."""
        tops = self.step.top
        if not self.step.propagate_down[0]:
            return _nothing
        dx = Operand(self.step.bottom[0].synced_diff, self.desc)
        dx.bind()
        passes: dict[tuple[bool, ...], Run] = {}

        def run() -> None:
            written = tuple(bool(top.synced_diff.current) for top in tops)
            if written not in passes:
                passes[written] = self._sum([t for t, w in zip(tops, written, strict=True) if w], dx)
            passes[written]()

        return run

    def _sum(self, tops: list[Blob], dx: Operand) -> Run:
        desc = self.desc
        dys = [Operand(top.synced_diff, desc) for top in tops]
        if not dys:
            return dx.synced.clear
        made = weighted_sum([desc] * len(dys), [1.0] * len(dys), desc)
        arguments = {Arg.DST: dx, **{source_arg(i): dy for i, dy in enumerate(dys)}}
        return Pass(dys, [self.call(made, arguments)], [dx])


def _nothing() -> None:
    """The data are shared."""
