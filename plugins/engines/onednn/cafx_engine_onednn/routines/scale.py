"""Scale and Bias on blocked memory: a normalisation with mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Unsupported

from ..api.constants import Norm
from .batch_norm import PerChannel
from .chain import chain

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase


class Scale(PerChannel):
    """y = s x + b with one s per channel; both gradients in one reading of x and dy.

    On row-major memory NumPy is as fast.
    """

    eps = 0.5  # σ² + eps is 1, and in the padding of a block, where σ² is 0, still not 0

    def choose(self) -> None:
        """The bottom's blocks."""
        bottom = self.bottoms[0]
        layout = self.build.layout_of(bottom)
        if len(self.bottoms) > 1:
            raise Unsupported("its operand is a bottom")
        if self.layer.view[:2] != bottom.shape[:2]:
            raise Unsupported("not one factor per channel")
        if layout is None:
            raise Unsupported("row-major memory")
        if self.fusion.scale is not None:
            raise Unsupported("another Scale behind it")
        self.scale = self.layer
        self.choose_among(layout)
        if "jit" not in self.forward_desc.implementation:
            raise Unsupported(f"only {self.forward_desc.implementation}")
        self.build.set_layout(self.tops[0], self.forward_desc.dst)
        self.variance.flat[:] = 1 - self.eps

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Behind a convolution, whose top is not row-major."""
        from cafx.conformance.kinds.engine import EngineCase

        filler = 'filler { type: "uniform" min: 0.5 max: 2 }'
        yield EngineCase("behind-convolution", chain(f'type: "Scale" scale_param {{ {filler} }}'))


class Bias(Scale):
    """y = x + b."""

    learned = (Norm.SHIFT,)

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Behind a convolution, whose top is not row-major."""
        from cafx.conformance.kinds.engine import EngineCase

        filler = 'filler { type: "uniform" min: 0.5 max: 2 }'
        yield EngineCase("behind-convolution", chain(f'type: "Bias" bias_param {{ {filler} }}'))
