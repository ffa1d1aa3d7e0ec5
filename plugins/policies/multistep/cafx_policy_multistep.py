"""multistep: a learning rate that falls by a factor at stated iterations."""

from __future__ import annotations

import bisect
from typing import Any

from cafx.kernel import Policy


class MultiStep(Policy):
    """rate = base_lr · gamma^s, s the steps taken by then.

    Step k is taken at iteration ``stepvalue`` k, but no two at one iteration: a value that is not
    above the one before it takes effect an iteration after that one did.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require("stepvalue", gamma=0)
        self.starts: list[int] = []
        for value in options.stepvalue:
            self.starts.append(max(value, self.starts[-1] + 1) if self.starts else value)

    def rate(self, iteration: int) -> float:
        """base_lr times gamma for each step taken."""
        return float(self.options.base_lr * self.options.gamma ** self.step(iteration))

    def step(self, iteration: int) -> int:
        """How many steps begin at ``iteration`` or before it."""
        return bisect.bisect_right(self.starts, iteration)
