"""Adam: momentum and learning rates from bias-corrected running averages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase


class Adam(UpdateRule):
    """M ← β₁ · M + (1 − β₁) · ∇W; V ← β₂ · V + (1 − β₂) · ∇W².

    W ← W − rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · M / (√V + delta), with iterations t counted from 1.
    History: M and V. Options: momentum β₁, momentum2 β₂, delta.

    Raises:
        CafxError: β₁ or β₂ is below 0, or is 1 or more.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """

    slots = 2

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        for field in ("momentum", "momentum2"):
            if not 0 <= getattr(options, field) < 1:
                raise self.refuse(field, f"{field} must be at least 0 and below 1")

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate · correction · M / (√V + delta)."""
        mean, squares = history
        beta1, beta2 = self.options.momentum, self.options.momentum2
        squares *= beta2
        squares += (1 - beta2) * (diff * diff)
        mean *= beta1
        diff *= 1 - beta1
        mean += diff
        scale = np.sqrt(squares)
        scale += self.options.delta
        t = iteration + 1
        np.divide(mean, scale, out=diff)
        diff *= rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """Usual averages, no momentum, and what is refused."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            beta1, beta2 = options.momentum, options.momentum2
            mean = beta1 * history[0] + (1 - beta1) * g
            squares = beta2 * history[1] + (1 - beta2) * g**2
            correction = math.sqrt(1 - beta2 ** (t + 1)) / (1 - beta1 ** (t + 1))
            return rate * correction * mean / (np.sqrt(squares) + options.delta), [mean, squares]

        yield SolverCase("usual", {"momentum": 0.9, "momentum2": 0.999}, formula)
        yield SolverCase("no-momentum", {"momentum2": 0.9, "delta": 0.01}, formula)
        yield SolverCase("momentum-one", {"momentum": 1.0}, error="momentum")
        yield SolverCase("negative", {"momentum": -0.1}, error="momentum")
        yield SolverCase("momentum2-one", {"momentum2": 1.0}, error="momentum2")
