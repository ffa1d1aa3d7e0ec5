"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cafx.kernel import UpdateRule
from cafx.kernel.training import Array

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase


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

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """With momentum and without."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            velocity = options.momentum * history[0] + rate * g
            return velocity, [velocity]

        yield SolverCase("momentum", {"momentum": 0.9}, formula)
        yield SolverCase("plain", {}, formula)
