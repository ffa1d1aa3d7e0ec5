"""plateau: a learning rate that falls when the loss no longer does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Policy

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase

__version__ = "0.1.0"


class Plateau(Policy):
    """rate = base_lr · gamma^s, where s grows by 1 when the smoothed loss has had no new minimum for a while.

    That is plateau_winsize[s] iterations, counted from the last minimum or the last fall of the rate. After the
    last window the rate stays. The loss is the mean over average_loss iterations.

    Raises:
        CafxError: gamma or plateau_winsize is missing.

    Source: the SSD fork of Caffe, policy ``plateau``.
    """

    watches_loss = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0)
        self.windows = [int(each) for each in getattr(options, "plateau_winsize", ())]
        if not self.windows or min(self.windows) < 1:
            raise CafxError("policy 'plateau' needs plateau_winsize", where="solver", expected="iterations, at least 1")
        self.minimum, self.event, self.steps = math.inf, 0, 0

    def observe(self, loss: float, iteration: int) -> None:
        """Count the iterations since the last minimum."""
        if loss < self.minimum:
            self.minimum, self.event = loss, iteration
        if self.steps < len(self.windows) and iteration >= self.event + self.windows[self.steps]:
            self.steps, self.event = self.steps + 1, iteration

    def rate(self, iteration: int) -> float:
        """base_lr · gamma^steps."""
        return float(self.options.base_lr * self.options.gamma**self.steps)

    def step(self, iteration: int) -> int:
        """The number of times the rate has fallen."""
        return self.steps

    def state(self) -> dict[str, Any]:
        """The minimum, when it was, and how often the rate has fallen."""
        return {"minimum": self.minimum, "event": self.event, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; without one, from the first window."""
        if state:
            self.minimum, self.event, self.steps = float(state["minimum"]), int(state["event"]), int(state["steps"])

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Two windows without a new minimum, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        losses = [5, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4]
        falls = {0: 1.0, 2: 1.0, 3: 0.5, 6: 0.5, 7: 0.25, 10: 0.25}
        options = {"gamma": 0.5, "plateau_winsize": [2, 3]}
        yield PolicyCase("falls", options, rates=falls, never_rises=True, losses=losses)
        yield PolicyCase("no-windows", {"gamma": 0.5}, error="plateau_winsize")
        yield PolicyCase("empty-window", {"gamma": 0.5, "plateau_winsize": [0]}, error="plateau_winsize")
        yield PolicyCase("no-gamma", {"plateau_winsize": [2]}, error="gamma")
