"""fixed: constant learning rate."""

from __future__ import annotations

from cafx.kernel import Policy


class Fixed(Policy):
    """rate = base_lr."""

    def rate(self, iteration: int) -> float:
        """base_lr."""
        return float(self.options.base_lr)
