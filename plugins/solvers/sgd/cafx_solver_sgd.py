"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array


class SGD(UpdateRule):
    """V ← momentum · V + rate · ∇W; W ← W − V.

    History: V. Options: momentum (0 for plain gradient descent).

    Source: Bottou, "Stochastic Gradient Descent Tricks", 2012.
    """

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """V ← momentum · V + rate · ∇W."""
        velocity = history[0]
        velocity *= self.options.momentum
        diff *= rate
        velocity += diff
        diff[...] = velocity
