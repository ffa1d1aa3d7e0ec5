"""poly: learning rate with polynomial decay to 0."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Policy


class Poly(Policy):
    """rate = base_lr · (1 − iteration / max_iter)^power, and 0 beyond max_iter."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(power=0, max_iter=1)

    def rate(self, iteration: int) -> float:
        """base_lr · max(0, 1 − iteration / max_iter)^power."""
        options = self.options
        remaining = max(0.0, 1 - iteration / options.max_iter)
        return float(options.base_lr * remaining**options.power)
