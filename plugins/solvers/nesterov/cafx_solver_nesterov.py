"""Nesterov: Nesterov's accelerated gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase


class Nesterov(UpdateRule):
    """V′ = momentum · V + rate · ∇W; W ← W − (1 + momentum) · V′ + momentum · V; V ← V′.

    The gradient is thus evaluated at the point that the momentum leads to. History: V. Options: momentum.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    2013.
    """

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """V′ + momentum · (V′ − V), which equals (1 + momentum) · V′ − momentum · V."""
        velocity, momentum = history[0], self.options.momentum
        diff *= rate
        previous = velocity.copy()
        velocity *= momentum
        velocity += diff
        diff[...] = velocity
        diff -= previous
        diff *= momentum
        diff += velocity

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """With momentum and without."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            momentum = options.momentum
            velocity = momentum * history[0] + rate * g
            return (1 + momentum) * velocity - momentum * history[0], [velocity]

        yield SolverCase("momentum", {"momentum": 0.9}, formula)
        yield SolverCase("plain", {}, formula)
