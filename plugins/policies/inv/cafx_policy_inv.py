"""inv: learning rate with inverse power decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


class Inv(Policy):
    """rate = base_lr · (1 + gamma · iteration)^(−power)."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require("power", gamma=0)

    def rate(self, iteration: int) -> float:
        """base_lr · (1 + gamma · iteration)^(−power)."""
        options = self.options
        return float(options.base_lr * (1 + options.gamma * iteration) ** -options.power)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Decay, no decay, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        falling = {0: 1.0, 4: 0.25, 12: 1 / 16}
        yield PolicyCase("falling", {"gamma": 0.25, "power": 2.0}, rates=falling, never_rises=True)
        yield PolicyCase("constant", {"base_lr": 0.1, "gamma": 0.0, "power": 0.75}, rates={0: 0.1, 9_999: 0.1})
        yield PolicyCase("no-power", {"gamma": 0.1}, error="power")
        yield PolicyCase("no-gamma", {"power": 0.75}, error="gamma")
        yield PolicyCase("negative-gamma", {"gamma": -0.1, "power": 1.0}, error="gamma")
