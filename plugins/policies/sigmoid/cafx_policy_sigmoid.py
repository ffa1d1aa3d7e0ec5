"""sigmoid: learning rate along a sigmoid."""

from __future__ import annotations

import math
from typing import Any

from cafx.kernel import Policy


class Sigmoid(Policy):
    """rate = base_lr / (1 + exp(−gamma · (iteration − stepsize))).

    The rate is base_lr / 2 at iteration ``stepsize`` and approaches base_lr after it.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0, stepsize=1)

    def rate(self, iteration: int) -> float:
        """base_lr · σ(gamma · (iteration − stepsize)), which does not overflow."""
        options = self.options
        z = options.gamma * (iteration - options.stepsize)
        tail = math.exp(-abs(z))
        sigmoid = 1 / (1 + tail) if z >= 0 else tail / (1 + tail)
        return float(options.base_lr * sigmoid)
