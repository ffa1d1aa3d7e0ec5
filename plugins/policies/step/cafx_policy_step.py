"""step: learning rate that decays every ``stepsize`` iterations."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Policy


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
