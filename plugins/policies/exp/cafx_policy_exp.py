"""exp: learning rate with exponential decay."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Policy


class Exp(Policy):
    """rate = base_lr · gamma^iteration."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0)

    def rate(self, iteration: int) -> float:
        """base_lr · gamma^iteration."""
        return float(self.options.base_lr * self.options.gamma**iteration)
