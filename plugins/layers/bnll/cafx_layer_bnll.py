"""BNLL: the binomial normal log likelihood, a smooth rectifier."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, NeuronLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


IN_PLACE = "as in Caffe, the in-place gradient is evaluated at y instead of x"


class BNLL(NeuronLayer):
    """Binomial normal log likelihood: y = ln(1 + eˣ), also called softplus.

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy / (1 + e⁻ˣ); in place it is evaluated at y instead of x, as in Caffe.

    Source: Caffe's layer catalogue.
    """

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = max(x, 0) + ln(1 + e^−|x|), which does not overflow."""
        x = bottom[0].data
        tail = self.xp.log1p(self.xp.exp(-abs(x)))
        self.xp.add(self.xp.maximum(x, 0), tail, out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · (½ tanh(½ x) + ½)."""
        if propagate_down[0]:
            slope = 0.5 * self.xp.tanh(0.5 * bottom[0].data) + 0.5
            self.xp.multiply(top[0].diff, slope, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to five axes, and large values."""
        from cafx.conformance import Case, normal

        yield Case("plain", (2, 3, 4, 5), skip={"in-place": IN_PLACE})
        yield Case("one_axis", (7,), skip={"in-place": IN_PLACE})
        yield Case("wide", normal((3, 5), scale=20), skip={"in-place": IN_PLACE})
        yield Case("five_axes", (2, 3, 1, 2, 2), skip={"in-place": IN_PLACE})
