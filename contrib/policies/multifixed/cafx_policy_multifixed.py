"""multifixed: a learning rate for each stage of training."""

from __future__ import annotations

from typing import Any

from cafx.kernel import CafxError, Message, Policy, option
from cafx.kernel.schema import Dialect, extends, read_by

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
