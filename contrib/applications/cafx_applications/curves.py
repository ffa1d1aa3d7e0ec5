"""Curves of a training: the loss of each iteration and the scores of each test, kept by a monitor."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from cafx.kernel import Solver, hookimpl
from cafx_applications.running import say

Points = list[tuple[int, float]]


@attrs.define(eq=False)
class Curves:
    """A monitor that keeps losses and scores, and prints a line of progress per test.

    Args:
        name: what the lines of progress begin with.
        nets: what each test net tests on.

    Attributes:
        losses: the loss of each iteration.
        scores: iteration and value of each score; its name is that of the test net, then that of the output.

    Example:
        >>> curves = Curves("quick", losses=[4.0, 2.0, 3.0], scores={"test accuracy": [(0, 0.1), (3, 0.5)]})
        >>> curves.last("test accuracy"), curves.smoothed(2)
        (0.5, [(2, 3.0)])
    """

    name: str
    nets: list[str] = attrs.field(factory=lambda: ["test"])
    losses: list[float] = attrs.field(factory=list)
    scores: dict[str, Points] = attrs.field(factory=dict)

    @hookimpl
    def iteration_finished(self, loss: float) -> None:
        """Keep the loss."""
        self.losses.append(float(loss))

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Keep the scores."""
        named = {f"{self.nets[index]} {output}": float(value) for output, value in scores.items()}
        for name, value in named.items():
            self.scores.setdefault(name, []).append((solver.iter, value))
        values = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
        say(f"{self.name}: iteration {solver.iter} of {solver.options.max_iter}, {values}")

    def last(self, name: str) -> float:
        """The latest value of a score."""
        return self.scores[name][-1][1]

    def smoothed(self, every: int) -> Points:
        """The mean loss of each run of ``every`` iterations, and the iteration it ends with."""
        ends = range(every, len(self.losses) + 1, every)
        return [(end, float(np.mean(self.losses[end - every : end]))) for end in ends]


def solve(solver: Solver, curves: Curves) -> Curves:
    """Train to max_iter, with tests and without snapshots.

    Args:
        solver: what trains.
        curves: keeps the losses and scores.

    Returns:
        ``curves``.
    """
    solver.options.snapshot = 0
    solver.options.snapshot_after_train = False
    solver.monitors.add(curves)
    solver.solve()
    return curves
