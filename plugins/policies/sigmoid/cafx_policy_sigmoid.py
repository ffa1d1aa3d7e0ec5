"""sigmoid: learning rate along a sigmoid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


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

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Around stepsize, far from it, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        rising = {10: 1.0, 0: 2 / (1 + math.exp(5)), 14: 2 / (1 + math.exp(-2))}
        yield PolicyCase("rising", {"base_lr": 2.0, "gamma": 0.5, "stepsize": 10}, rates=rising)
        far = {0: 0.0, 100_000: 1.0, 10_000_000: 2.0}
        yield PolicyCase("far", {"base_lr": 2.0, "gamma": 1.0, "stepsize": 100_000}, rates=far)
        yield PolicyCase("no-stepsize", {"gamma": 0.5}, error="stepsize")
        yield PolicyCase("no-gamma", {"stepsize": 3}, error="gamma")
        yield PolicyCase("stepsize-zero", {"gamma": 0.5, "stepsize": 0}, error="stepsize")
        yield PolicyCase("negative-gamma", {"gamma": -1.0, "stepsize": 3}, error="gamma")
