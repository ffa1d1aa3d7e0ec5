"""sigmoid: a learning rate that follows a sigmoid."""

from __future__ import annotations

import math
from typing import Any

from cafx.kernel import Policy


class Sigmoid(Policy):
    """rate = base_lr / (1 + exp(−gamma · (iteration − stepsize))).

    It passes base_lr / 2 at iteration ``stepsize``, and rises to base_lr beyond it.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0, stepsize=1)

    def rate(self, iteration: int) -> float:
        """The sigmoid's value, without overflow far from its middle."""
        options = self.options
        distance = options.gamma * (iteration - options.stepsize)
        falling = math.exp(-abs(distance))
        share = 1 / (1 + falling) if distance >= 0 else falling / (1 + falling)
        return float(options.base_lr * share)
