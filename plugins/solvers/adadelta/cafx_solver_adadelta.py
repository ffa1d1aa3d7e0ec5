"""AdaDelta: updates scaled by running averages of squared gradients and updates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase


class AdaDelta(UpdateRule):
    """G ← m · G + (1 − m) · ∇W²; D = √((U + delta) / (G + delta)) · ∇W; U ← m · U + (1 − m) · D².

    W ← W − rate · D. History: G and U, running averages of squared gradients and squared updates.
    Options: momentum m, delta.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
    """

    slots = 2

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate · D."""
        gradients, updates = history
        delta, momentum = self.options.delta, self.options.momentum
        gradients *= momentum
        gradients += (1 - momentum) * (diff * diff)
        scale = (updates + delta) / (gradients + delta)
        diff *= np.sqrt(scale)
        updates *= momentum
        updates += (1 - momentum) * (diff * diff)
        diff *= rate

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """Averages, and none."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            m, delta = options.momentum, options.delta
            squares = m * history[0] + (1 - m) * g**2
            step = np.sqrt((history[1] + delta) / (squares + delta)) * g
            return rate * step, [squares, m * history[1] + (1 - m) * step**2]

        yield SolverCase("averages", {"momentum": 0.95, "delta": 1e-6}, formula)
        yield SolverCase("none", {"delta": 0.01}, formula)
