"""step: learning rate that decays every ``stepsize`` iterations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


class Step(Policy):
    """rate = base_lr · gamma^⌊iteration / stepsize⌋."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0, stepsize=1)

    def rate(self, iteration: int) -> float:
        """base_lr · gamma^step(iteration)."""
        return float(self.options.base_lr * self.options.gamma ** self.step(iteration))

    def step(self, iteration: int) -> int:
        """⌊iteration / stepsize⌋."""
        return iteration // int(self.options.stepsize)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Steps of three iterations and of one, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        three = {0: 1.0, 2: 1.0, 3: 0.5, 5: 0.5, 6: 0.25, 7: 0.25}
        yield PolicyCase("three", {"gamma": 0.5, "stepsize": 3}, rates=three, never_rises=True)
        yield PolicyCase("one", {"gamma": 0.5, "stepsize": 1}, rates={0: 1.0, 3: 0.125}, never_rises=True)
        yield PolicyCase("no-stepsize", {"gamma": 0.5}, error="stepsize")
        yield PolicyCase("no-gamma", {"stepsize": 3}, error="gamma")
        yield PolicyCase("stepsize-zero", {"gamma": 0.5, "stepsize": 0}, error="stepsize")
        yield PolicyCase("negative-gamma", {"gamma": -1.0, "stepsize": 3}, error="gamma")
