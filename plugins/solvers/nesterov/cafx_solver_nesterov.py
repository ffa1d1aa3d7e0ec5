"""Nesterov: the accelerated gradient."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array


class Nesterov(UpdateRule):
    """V′ = momentum · V + rate · ∇W; W ← W − (1 + momentum) · V′ + momentum · V; V ← V′.

    So the gradient is that of the point the momentum leads to. History: V. Options: momentum.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    2013.
    """

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """V′ + momentum · (V′ − V), which equals (1 + momentum) · V′ − momentum · V."""
        velocity, momentum = history[0], self.options.momentum
        diff *= rate
        before = velocity.copy()
        velocity *= momentum
        velocity += diff
        diff[...] = velocity
        diff -= before
        diff *= momentum
        diff += velocity
