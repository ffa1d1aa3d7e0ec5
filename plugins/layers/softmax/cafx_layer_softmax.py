"""Softmax: probabilities from scores along one axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, NeuronLayer
from cafx_lib_softmax import SoftmaxParameter, softmax

if TYPE_CHECKING:
    from cafx.conformance import Case


class Softmax(NeuronLayer):
    """Softmax: y = exp(x) / Σ exp(x), summed along ``axis``; computed from x − max x, so it is finite.

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = y · (dy − Σ dy · y).

    Raises:
        CafxError: the axis does not exist.

    Source: Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", 1990.

    Read by engines:
        softmax_axis: index of the axis of the classes, from 0.
    """

    Parameter = SoftmaxParameter
    options: SoftmaxParameter
    reads_tops = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        self.softmax_axis = self.axis(bottom[0], self.options.axis)
        super().reshape(bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = exp(x − max x) / Σ exp(x − max x)."""
        softmax(self.xp, bottom[0].data, top[0].mutable_data, self.softmax_axis)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = y · (dy − Σ dy · y)."""
        if propagate_down[0]:
            y, dy = top[0].data, top[0].diff
            product = self.workspace(y.shape)
            self.xp.multiply(dy, y, out=product)
            inner = product.sum(axis=self.softmax_axis, keepdims=True)
            dx = bottom[0].mutable_diff
            self.xp.subtract(dy, inner, out=dx)
            dx *= y

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """First, middle and last axis; one to four axes; scores whose exponentials overflow."""
        from cafx.conformance import Case, normal

        yield Case("rows", (4, 5))
        yield Case("images", (2, 3, 4, 5), options={"engine": "CAFFE"})
        yield Case("last_axis", (2, 3, 7), options={"axis": -1})
        yield Case("first_axis", (5,), options={"axis": 0})
        yield Case("large", normal((3, 4), 2.0, 1000.0))
