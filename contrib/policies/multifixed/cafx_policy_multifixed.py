"""multifixed: a learning rate for each stage of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Message, Policy, option
from cafx.kernel.schema import Dialect, extends, read_by

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase

__version__ = "0.1.0"
READER = read_by("policy multifixed")


@extends("SolverParameter")
class MultiFixedParameter(Message):
    """Stages and their rates."""

    stagelr: tuple[float, ...] = option(None, "float", repeated=True, doc="rate of each stage", effect=READER)
    stageiter: tuple[int, ...] = option(None, "int32", repeated=True, doc="iteration at which each ends", effect=READER)


class Stages(Dialect):
    """Options of the policy multifixed: ``stagelr: 0.1 stageiter: 1000 stagelr: 0.01 stageiter: 2000``."""

    fork = "Intel"
    declares = (MultiFixedParameter,)


class MultiFixed(Policy):
    """rate = stagelr[s], with s the number of stages that have ended: those with stageiter ≤ iteration.

    After the last stage its rate goes on.

    Raises:
        CafxError: there is not one stageiter per stagelr, or they do not rise.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        rates, ends = options.stagelr, options.stageiter
        if not rates or len(rates) != len(ends):
            found = f"{len(rates)} stagelr and {len(ends)} stageiter"
            raise CafxError("policy 'multifixed' needs stages", where="solver", found=found, expected="one per stage")
        if list(ends) != sorted(set(ends)):
            raise CafxError("stageiter must rise", where="solver", found=", ".join(map(str, ends)))

    def rate(self, iteration: int) -> float:
        """The rate of the stage of ``iteration``."""
        return float(self.options.stagelr[self.step(iteration)])

    def step(self, iteration: int) -> int:
        """The number of the stage."""
        ended = sum(1 for end in self.options.stageiter if end <= iteration)
        return min(ended, len(self.options.stagelr) - 1)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Stages, the last of which goes on, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        def stages(rates: list[float], ends: list[int]) -> dict[str, Any]:
            return {"stagelr": rates, "stageiter": ends}

        three = {0: 1.0, 1: 1.0, 2: 0.5, 3: 0.25, 5: 0.25, 10_000: 0.25}
        yield PolicyCase("three", stages([1.0, 0.5, 0.25], [2, 3, 5]), rates=three, never_rises=True)
        yield PolicyCase("rising", stages([0.5, 1.0], [3, 5]), rates={2: 0.5, 3: 1.0})
        yield PolicyCase("none", {}, error="stages")
        yield PolicyCase("unequal", stages([1.0], []), error="1 stagelr and 0 stageiter")
        yield PolicyCase("equal", stages([1.0, 2.0], [3, 3]), error="stageiter")
        yield PolicyCase("falling", stages([1.0, 2.0], [3, 2]), error="stageiter")
