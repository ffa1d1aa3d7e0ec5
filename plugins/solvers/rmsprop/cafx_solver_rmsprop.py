"""RMSProp: rates that fall with each parameter's recent squared gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array


class RMSProp(UpdateRule):
    """H ← d · H + (1 − d) · ∇W²; W ← W − rate · ∇W / (√H + delta).

    History: H, the mean of recent squared gradients. Options: rms_decay d, delta.

    Raises:
        CafxError: momentum is stated, or rms_decay is not from 0 to below 1.

    Source: Tieleman and Hinton, "RMSProp: Divide the gradient by a running average of its recent
    magnitude", Coursera lecture 6.5, 2012.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        if options.momentum:
            raise self.refuse("momentum", "takes no momentum")
        if not 0 <= options.rms_decay < 1:
            raise self.refuse("rms_decay", "rms_decay lies from 0 to below 1")

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate · ∇W / (√H + delta)."""
        squares, decay = history[0], self.options.rms_decay
        squares *= decay
        squares += (1 - decay) * (diff * diff)
        scale = np.sqrt(squares)
        scale += self.options.delta
        diff /= scale
        diff *= rate
