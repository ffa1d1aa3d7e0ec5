"""Scale and Bias by oneDNN on blocked memory: its normalisation by a mean of 0 and a variance of 1."""

from __future__ import annotations

from cafx.kernel import Unsupported

from ..api.constants import Norm
from ..routines.batch_norm import PerChannel


class Scale(PerChannel):
    """y = s x + b with an s a channel, and both gradients in one reading of x and dy.

    On row-major memory NumPy is as fast. Fused, ``unit`` says that a ReLU follows.
    """

    eps = 0.5  # σ² + eps is 1, and in what fills up a block, where σ² is 0, still a number to divide by

    def plan(self) -> None:
        """The bottom's blocks."""
        bottom, home = self.step.bottom[0], self.engine.home(self.step.bottom[0])
        if len(self.step.bottom) > 1:
            raise Unsupported("its operand is a bottom")
        if self.layer.view[:2] != bottom.shape[:2]:
            raise Unsupported("not one factor a channel")
        if home is None:
            raise Unsupported("row-major memory")
        if "scale" in self.fused:
            raise Unsupported("another Scale behind it")
        self.scale = self.layer
        self.choose(home)
        if "jit" not in self.ahead.implementation:
            raise Unsupported(f"only {self.ahead.implementation}")
        self.engine.settle(self.step.top[0], self.ahead.dst)
        self.variance.flat[:] = 1 - self.eps


class Bias(Scale):
    """y = x + b."""

    learned = (Norm.SHIFT,)
