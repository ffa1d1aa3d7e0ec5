"""Softmax: scores turned into probabilities along one axis."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("softmax_param", 125)
class SoftmaxParameter(Message):
    """Options of Softmax and SoftmaxWithLoss."""

    class Engine(IntEnum):
        """Which of Caffe's implementations; cafx chooses by its own engine."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    engine: Engine = option(1, Engine, Engine.DEFAULT, doc="read and ignored")
    axis: int = option(2, "int32", 1, doc="the axis whose values come to sum to one")


def softmax(xp: Any, x: Any, out: Any, axis: int) -> None:
    """out = exp(x − max x) / Σ exp(x − max x) along ``axis``; ``out`` may be ``x``."""
    if not x.size:
        return
    xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    xp.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)


class Softmax(NeuronLayer):
    """Softmax: y = exp(x) / Σ exp(x), the sum along ``axis``; worked on x − max x, so it is finite.

    Bottom: any shape with that axis. Top: the same shape; may be the bottom itself.
    Gradient: dx = y · (dy − Σ dy · y).

    Raises:
        CafxError: the bottom has no such axis.

    Source: Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", 1990.
    """

    Parameter = SoftmaxParameter
    options: SoftmaxParameter

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape, in which the axis exists."""
        self.along = self.axis(bottom[0], self.options.axis)
        super().reshape(bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = exp(x − max x) / Σ exp(x − max x)."""
        softmax(self.xp, bottom[0].data, top[0].mutable_data, self.along)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = y · (dy − Σ dy · y)."""
        if propagate_down[0]:
            y, dy = top[0].data, top[0].diff
            product = self.workspace(y.shape)
            self.xp.multiply(dy, y, out=product)
            inner = product.sum(axis=self.along, keepdims=True)
            dx = bottom[0].mutable_diff
            self.xp.subtract(dy, inner, out=dx)
            dx *= y

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Along each axis, from one to four of them, and with scores that would overflow."""
        from cafx.conformance import Case, normal

        yield Case("rows", (4, 5))
        yield Case("images", (2, 3, 4, 5), options={"engine": "CAFFE"})
        yield Case("last_axis", (2, 3, 7), options={"axis": -1})
        yield Case("first_axis", (5,), options={"axis": 0})
        yield Case("large", normal((3, 4), 2.0, 1000.0))
