"""AdaGrad: learning rates divided by the root of summed squared gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase


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

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """Two values of delta, and what is refused."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            squares = history[0] + g**2
            return rate * g / (np.sqrt(squares) + options.delta), [squares]

        yield SolverCase("default", {}, formula)
        yield SolverCase("delta", {"delta": 0.1}, formula)
        yield SolverCase("momentum", {"momentum": 0.9}, error="momentum")
