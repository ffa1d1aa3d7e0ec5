"""AdaDelta: updates scaled by running averages of squared gradients and updates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array


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
