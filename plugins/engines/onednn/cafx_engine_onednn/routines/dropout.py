"""Dropout in TEST phase, in place: nothing to do."""

from __future__ import annotations

from cafx.kernel import Phase, Unsupported

from ..routine import Accelerated, Run


class Dropout(Accelerated):
    """TEST phase, in place; while training the layer draws its mask itself."""

    def plan(self) -> None:
        """Only where the values stay as and where they are."""
        if self.layer.phase is not Phase.TEST:
            raise Unsupported("draws while training")
        if self.step.bottom[0] is not self.step.top[0]:
            raise Unsupported("a top of its own")

    def make_forward(self) -> Run:
        """Nothing."""
        return _nothing

    def make_backward(self) -> Run:
        """Nothing."""
        return _nothing


def _nothing() -> None:
    """Values that stay where they are."""
