"""AdaGrad: learning rates divided by the root of summed squared gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array


class AdaGrad(UpdateRule):
    """H ← H + ∇W²; W ← W − rate · ∇W / (√H + delta).

    History: H, the sum of squared gradients. Options: delta.

    Raises:
        CafxError: momentum is set.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        if options.momentum:
            raise self.refuse("momentum", "does not support momentum")

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate · ∇W / (√H + delta)."""
        squares = history[0]
        squares += diff * diff
        scale = np.sqrt(squares)
        scale += self.options.delta
        diff /= scale
        diff *= rate
