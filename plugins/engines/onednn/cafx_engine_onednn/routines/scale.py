"""Scale and Bias on blocked memory: a normalisation with mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Unsupported

from ..api.constants import Norm
from ..execution import Run
from .chain import chain
from .per_channel import PerChannel
from .row_scaling import RowScaling

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase

SQUEEZED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param {
  num_output: 32 weight_filler { type: "xavier" } } }
layer { name: "gate" type: "Sigmoid" bottom: "ip" top: "gate" }
layer { name: "subject" type: "Scale" bottom: "conv" bottom: "gate" top: "scaled" scale_param { axis: 0 } }
layer { name: "last" type: "Pooling" bottom: "scaled" top: "last" pooling_param { kernel_size: 2 pool: AVE } }
"""


class Scale(PerChannel):
    """y = s x + b with one s per channel; both gradients in one reading of x and dy.

    On row-major memory NumPy is as fast. If s is a bottom, it has one value per image and channel, and there is no b.
    """

    given: RowScaling | None = None
    """The passes where s is a bottom."""
    eps = 0.5  # σ² + eps is 1, and in the padding of a block, where σ² is 0, still not 0

    def choose(self) -> None:
        """The bottom's blocks."""
        bottom = self.bottoms[0]
        layout = self.build.layout_of(bottom)
        if len(self.bottoms) > 1:
            self._choose_given()
            return
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

    def _choose_given(self) -> None:
        x, operand = self.bottoms
        if self.layer.blobs or x.num_axes < 3 or operand.count_ != x.count(0, 2) or self.layer.view[0] != 1:
            raise Unsupported("its operand is a bottom")
        if x is self.tops[0] and self.training:
            raise Unsupported("its gradient in place")
        self.given = RowScaling(self, 1, 0)

    def make_forward(self) -> Run:
        """One primitive, or one kernel."""
        return self.given.forward() if self.given else super().make_forward()

    def make_backward(self) -> Run:
        """One primitive, or one kernel."""
        return self.given.backward() if self.given else super().make_backward()

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Behind a convolution, whose top is not row-major; and a block that squeezes and excites."""
        from cafx.conformance.kinds.engine import EngineCase

        filler = 'filler { type: "uniform" min: 0.5 max: 2 }'
        yield EngineCase("squeezed", SQUEEZED)
        yield EngineCase("behind-convolution", chain(f'type: "Scale" scale_param {{ {filler} }}'))


class Bias(Scale):
    """y = x + b."""

    learned = (Norm.SHIFT,)

    def _choose_given(self) -> None:
        raise Unsupported("its operand is a bottom")

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Behind a convolution, whose top is not row-major."""
        from cafx.conformance.kinds.engine import EngineCase

        filler = 'filler { type: "uniform" min: 0.5 max: 2 }'
        yield EngineCase("behind-convolution", chain(f'type: "Bias" bias_param {{ {filler} }}'))
