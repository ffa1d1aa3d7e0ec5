"""RMSProp: learning rates divided by the root of averaged squared gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase


class RMSProp(UpdateRule):
    """H ← d · H + (1 − d) · ∇W²; W ← W − rate · ∇W / (√H + delta).

    History: H, a running average of squared gradients. Options: rms_decay d, delta.

    Raises:
        CafxError: momentum is set, or rms_decay is below 0, or is 1 or more.

    Source: Tieleman and Hinton, "RMSProp: Divide the gradient by a running average of its recent
    magnitude", Coursera lecture 6.5, 2012.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        if options.momentum:
            raise self.refuse("momentum", "does not support momentum")
        if not 0 <= options.rms_decay < 1:
            raise self.refuse("rms_decay", "rms_decay must be at least 0 and below 1")

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate · ∇W / (√H + delta)."""
        squares, decay = history[0], self.options.rms_decay
        squares *= decay
        squares += (1 - decay) * (diff * diff)
        scale = np.sqrt(squares)
        scale += self.options.delta
        diff /= scale
        diff *= rate

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """Two decays, and what is refused."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            squares = options.rms_decay * history[0] + (1 - options.rms_decay) * g**2
            return rate * g / (np.sqrt(squares) + options.delta), [squares]

        yield SolverCase("default", {}, formula)
        yield SolverCase("decay", {"rms_decay": 0.75, "delta": 0.01}, formula)
        yield SolverCase("momentum", {"momentum": 0.9}, error="momentum")
        yield SolverCase("no-average", {"rms_decay": 1.0}, error="rms_decay")
        yield SolverCase("negative", {"rms_decay": -0.1}, error="rms_decay")
