"""Scale and Bias: a normalisation with mean 0 and deviation 1."""

from __future__ import annotations

from cafx.kernel import Unsupported
from cafx_engine_cudnn.routines.batch_norm import PerChannel


class Scale(PerChannel):
    """y = relu(γ x + β) with one γ and β per channel; all sums of the gradient in one reading of x and dy."""

    def choose(self) -> None:
        """Parameters of its own, one value per channel."""
        shape = self.bottoms[0].shape
        if len(self.bottoms) > 1:
            raise Unsupported("its operand is a bottom")
        if len(shape) < 2 or self.layer.view[:2] != shape[:2]:
            raise Unsupported("not one value per channel")
        self.choose_learned()
        self.choose_operands()

    def choose_learned(self) -> None:
        """γ and, with a bias, β."""
        self.factor, self.shift = self.learned(self.layer, 0), self.learned(self.layer, 1)


class Bias(Scale):
    """y = relu(x + β)."""

    def choose_learned(self) -> None:
        """β alone."""
        self.shift = self.learned(self.layer, 0)
