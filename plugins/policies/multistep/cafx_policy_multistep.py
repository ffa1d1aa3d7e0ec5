"""multistep: learning rate that decays at given iterations."""

from __future__ import annotations

import bisect
from typing import Any

from cafx.kernel import Policy


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
