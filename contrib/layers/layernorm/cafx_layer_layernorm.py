"""LayerNorm: mean 0 and variance 1 over all axes but the first two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, at_least, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("layer_norm_param")
class LayerNormParameter(Message):
    """Options of LayerNorm."""

    epsilon: float = option(1, "float", 1e-10, doc="added to the variance", check=at_least(0))
    enable_cuda_impl: bool = option(2, "bool", False, doc="accepted for compatibility, ignored")
    enable_passthrough: bool = option(3, "bool", False, doc="the top is the bottom, for debugging")


class LayerNorm(Layer):
    """Layer normalisation: y = (x − μ) / r, r = √(σ² + epsilon), mean μ and variance σ² over D values.

    Bottom: shape N×C×…, with D values behind the first two axes, which share a mean and a variance: N×T×E in
    a sequence model. Top: the same shape. There are no parameters.
    Without epsilon, equal values give NaN.
    Gradient: dx = (dy − mean(dy) − y · mean(dy · y)) / r, with means over the same values. With
    enable_passthrough, top and bottom share data and diff.

    Raises:
        CafxError: the bottom has less than two axes.

    Source: Ba et al., "Layer Normalization", 2016; the layer is from MyCaffe.
    """

    Parameter = LayerNormParameter
    options: LayerNormParameter
    reads_tops = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        if bottom[0].num_axes < 2:
            found = shape_text(bottom[0].shape)
            raise self.error("the bottom needs two axes to keep apart", found=found, expected="N×C×…")
        top[0].reshape(*bottom[0].shape)
        self.rows = (bottom[0].count(0, 2), bottom[0].count(2))
        if self.options.enable_passthrough:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = (x − μ) / r; r is kept."""
        if self.options.enable_passthrough:
            return
        x, y = bottom[0].data.reshape(self.rows), top[0].mutable_data.reshape(self.rows)
        self.xp.subtract(x, x.mean(axis=1, keepdims=True), out=y)
        squares = self.workspace(self.rows)
        self.xp.multiply(y, y, out=squares)
        self.deviation = self.xp.sqrt(squares.mean(axis=1, keepdims=True) + self.options.epsilon)
        y /= self.deviation

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = (dy − mean(dy) − y · mean(dy · y)) / r."""
        if self.options.enable_passthrough or not propagate_down[0]:
            return
        y, dy = top[0].data.reshape(self.rows), top[0].diff.reshape(self.rows)
        dx, products = bottom[0].mutable_diff.reshape(self.rows), self.workspace(self.rows)
        self.xp.multiply(dy, y, out=products)
        self.xp.multiply(y, products.mean(axis=1, keepdims=True), out=products)
        self.xp.subtract(dy, dy.mean(axis=1, keepdims=True), out=dx)
        dx -= products
        dx /= self.deviation

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Sequences, images, and the layer switched off; two to five axes."""
        from cafx.conformance import Case

        yield Case("sequence", (2, 3, 8))
        yield Case("images", (2, 3, 4, 5), options={"epsilon": 0.1, "enable_cuda_impl": True})
        yield Case("five_axes", (1, 2, 2, 3, 2))
        yield Case("off", (2, 3, 4), options={"enable_passthrough": True})
        yield Case("matrix", (2, 3), options={"epsilon": 1})
