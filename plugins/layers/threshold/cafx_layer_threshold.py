"""Threshold: whether values exceed a threshold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("threshold_param", 128)
class ThresholdParameter(Message):
    """Options of Threshold."""

    threshold: float = option(1, "float", 0.0, doc="threshold")


class Threshold(NeuronLayer):
    """Threshold: y = 1 where x > threshold, else 0.

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: none.

    Source: Caffe's layer catalogue.
    """

    Parameter = ThresholdParameter
    options: ThresholdParameter
    forward_only = True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = 1 where x > threshold."""
        top[0].mutable_data[...] = bottom[0].data > self.options.threshold

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Zero, positive and negative thresholds."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("above", (2, 7), options={"threshold": 0.5})
        yield Case("below", (5,), options={"threshold": -0.5})
