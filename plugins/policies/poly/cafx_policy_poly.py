"""poly: learning rate with polynomial decay to 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


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

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Whole and fractional powers, beyond max_iter too, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        square = {0: 4.0, 1: 2.25, 2: 1.0, 3: 0.25, 4: 0.0, 5: 0.0}
        yield PolicyCase("square", {"base_lr": 4.0, "power": 2.0, "max_iter": 4}, rates=square, never_rises=True)
        root = {0: 1.0, 3: 0.5, 4: 0.0, 5: 0.0}
        yield PolicyCase("root", {"power": 0.5, "max_iter": 4}, rates=root, never_rises=True)
        yield PolicyCase("no-power", {"max_iter": 9}, error="power")
        yield PolicyCase("negative-power", {"power": -1.0}, error="power")
        yield PolicyCase("no-iterations", {"power": 1.0, "max_iter": 0}, error="max_iter")
