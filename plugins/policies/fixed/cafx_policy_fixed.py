"""fixed: constant learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase


class Fixed(Policy):
    """rate = base_lr, at every iteration."""

    def rate(self, iteration: int) -> float:
        """base_lr."""
        return float(self.options.base_lr)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """One rate, whatever other options say."""
        from cafx.conformance.kinds.policy import PolicyCase

        yield PolicyCase("fixed", {"base_lr": 0.25}, rates={0: 0.25, 1: 0.25, 10_000: 0.25}, never_rises=True)
