"""exp: a learning rate that falls by a factor each iteration."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Policy


class Exp(Policy):
    """rate = base_lr · gamma^iteration."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0)

    def rate(self, iteration: int) -> float:
        """base_lr times gamma for each iteration done."""
        return float(self.options.base_lr * self.options.gamma**iteration)
