"""TanH: hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("tanh_param", 127)
class TanHParameter(Message):
    """Options of TanH."""

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    engine: Engine = option(1, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")


class TanH(NeuronLayer):
    """Hyperbolic tangent: y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy · (1 − y²), computed from the top alone.

    Source: Caffe's layer catalogue.
    """

    Parameter = TanHParameter
    options: TanHParameter
    reads_tops = True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = tanh x."""
        self.xp.tanh(bottom[0].data, out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · (1 − y²)."""
        if propagate_down[0]:
            y = top[0].data
            self.xp.multiply(top[0].diff, 1 - y * y, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to five axes, and values in the saturated range."""
        from cafx.conformance import Case, normal

        yield Case("plain", (2, 3, 4, 5), options={"engine": "CAFFE"})
        yield Case("one_axis", (7,))
        yield Case("wide", normal((3, 5), scale=3))
        yield Case("five_axes", (2, 3, 1, 2, 2))
