"""inv: learning rate with inverse power decay."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Policy


class Inv(Policy):
    """rate = base_lr · (1 + gamma · iteration)^(−power)."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require("power", gamma=0)

    def rate(self, iteration: int) -> float:
        """base_lr · (1 + gamma · iteration)^(−power)."""
        options = self.options
        return float(options.base_lr * (1 + options.gamma * iteration) ** -options.power)
