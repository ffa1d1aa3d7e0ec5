"""The course of the loss, in a bounded number of points."""

from __future__ import annotations

from typing import Any

from cafx.kernel import hookimpl

MOST = 1000
"""Points."""


class Curve:
    """A monitor that keeps the loss of every ``every``-th iteration; ``every`` doubles where points become too many.

    Losses stay in the engine's place until they are shown, so that no iteration waits for a device.

    Attributes:
        every: iterations between points.

    Example:
        >>> curve = Curve()
        >>> for iteration in range(3000):
        ...     curve.add(iteration, 1 / (iteration + 1))
        >>> curve.every, len(curve.points()), curve.points()[1]
        (4, 750, (4, 0.2))
    """

    def __init__(self) -> None:
        self.every = 1
        self._losses: dict[int, Any] = {}

    @hookimpl
    def iteration_finished(self, solver: Any) -> None:
        """Keep the loss of the iteration."""
        self.add(solver.iter - 1, solver.last_loss)

    def add(self, iteration: int, loss: Any) -> None:
        """Add a point; one of an iteration that is repeated after `Solver.restore` replaces the old one.

        Args:
            iteration: number of the iteration.
            loss: a value that nobody overwrites.
        """
        if iteration % self.every == 0:
            self._losses[iteration] = loss
        if len(self._losses) > MOST:
            self.every *= 2
            self._losses = {each: kept for each, kept in self._losses.items() if each % self.every == 0}

    def points(self) -> list[tuple[int, float]]:
        """Iterations and losses, in order; reading them waits for a device."""
        return [(iteration, float(self._losses[iteration])) for iteration in sorted(self._losses)]
