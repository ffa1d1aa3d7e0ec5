"""multistep: learning rate that decays at given iterations."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


class MultiStep(Policy):
    """rate = base_lr · gamma^s, with s the number of steps taken.

    Step k is taken at the k-th ``stepvalue``, at most one per iteration: a step whose value is not larger
    than the one before is taken one iteration after that step.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require("stepvalue", gamma=0)
        self.starts: list[int] = []
        for value in options.stepvalue:
            self.starts.append(max(value, self.starts[-1] + 1) if self.starts else value)

    def rate(self, iteration: int) -> float:
        """base_lr · gamma^step(iteration)."""
        return float(self.options.base_lr * self.options.gamma ** self.step(iteration))

    def step(self, iteration: int) -> int:
        """Number of steps taken up to and including ``iteration``."""
        return bisect.bisect_right(self.starts, iteration)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Steps, equal and falling step values, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        two = {0: 1.0, 1: 1.0, 2: 0.5, 4: 0.5, 5: 0.25}
        yield PolicyCase("two", {"gamma": 0.5, "stepvalue": [2, 5]}, rates=two, never_rises=True)
        crowded = {0: 1.0, 1: 1.0, 2: 0.5, 3: 0.25, 4: 0.125, 5: 0.125}
        yield PolicyCase("crowded", {"gamma": 0.5, "stepvalue": [2, 2, 1]}, rates=crowded, never_rises=True)
        at_once = {0: 0.5, 1: 0.25, 2: 0.25, 5: 0.25}
        yield PolicyCase("at-once", {"gamma": 0.5, "stepvalue": [0, 0]}, rates=at_once, never_rises=True)
        yield PolicyCase("no-steps", {"gamma": 0.1}, error="stepvalue")
        yield PolicyCase("no-gamma", {"stepvalue": [2]}, error="gamma")
        yield PolicyCase("negative-gamma", {"gamma": -0.1, "stepvalue": [2]}, error="gamma")
