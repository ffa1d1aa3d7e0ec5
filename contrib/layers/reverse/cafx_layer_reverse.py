"""Reverse: values in reverse order along an axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("reverse_param")
class ReverseParameter(Message):
    """Options of Reverse."""

    axis: int = option(1, "int32", 0, doc="the axis to reverse; negative from the end")


class Reverse(Layer):
    """Values in reverse order along ``axis``: y[…, i, …] = x[…, d − 1 − i, …], d the length of the axis.

    Bottom: any shape but a scalar. Top: the same shape.
    Gradient: dx = dy in reverse order.

    Raises:
        CafxError: the axis does not exist.

    Source: Schuster and Paliwal, "Bidirectional Recurrent Neural Networks", 1997, which read a sequence from
    both ends; the layer is from jolibrain/caffe.
    """

    Parameter = ReverseParameter
    options: ReverseParameter

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        self.backwards = (slice(None),) * self.axis(bottom[0], self.options.axis) + (slice(None, None, -1),)
        top[0].reshape(*bottom[0].shape)

    def _reversed(self, values: Any) -> Any:
        return values[self.backwards]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x in reverse order."""
        top[0].mutable_data[...] = self._reversed(bottom[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy in reverse order."""
        if propagate_down[0]:
            bottom[0].mutable_diff[...] = self._reversed(top[0].diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """The first, a middle and the last axis; one to five axes."""
        from cafx.conformance import Case

        yield Case("sequence", (4, 2, 3))
        yield Case("middle", (2, 3, 4, 5), options={"axis": 1})
        yield Case("last", (2, 3), options={"axis": -1})
        yield Case("vector", (5,))
        yield Case("five_axes", (2, 3, 1, 2, 2), options={"axis": 3})
