"""exp: learning rate with exponential decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


class Exp(Policy):
    """rate = base_lr · gamma^iteration."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0)

    def rate(self, iteration: int) -> float:
        """base_lr · gamma^iteration."""
        return float(self.options.base_lr * self.options.gamma**iteration)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Decay, no decay, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        falling = {0: 2.0, 1: 1.0, 2: 0.5, 3: 0.25}
        yield PolicyCase("falling", {"base_lr": 2.0, "gamma": 0.5}, rates=falling, never_rises=True)
        yield PolicyCase("constant", {"base_lr": 0.25, "gamma": 1.0}, rates={0: 0.25, 9_999: 0.25})
        yield PolicyCase("no-gamma", {}, error="gamma")
        yield PolicyCase("negative-gamma", {"gamma": -0.5}, error="gamma")
