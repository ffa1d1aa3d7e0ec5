"""ReLU: rectified linear unit."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("relu_param", 123)
class ReLUParameter(Message):
    """Options of ReLU."""

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    negative_slope: float = option(1, "float", 0.0, doc="slope for x <= 0")
    engine: Engine = option(2, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")


class ReLU(NeuronLayer):
    """Rectified linear unit: y = max(x, 0) + negative_slope · min(x, 0).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy where x > 0, else negative_slope · dy; as in Caffe, 0 · dy where x is NaN.

    Source: Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010;
    leaky: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013.
    """

    Parameter = ReLUParameter
    options: ReLUParameter
    kinks = (0.0,)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = max(x, 0) + slope · min(x, 0)."""
        x, slope = bottom[0].data, self.options.negative_slope
        y = top[0].mutable_data
        below = slope * self.xp.minimum(x, 0) if slope else None
        self.xp.maximum(x, 0, out=y)
        if below is not None:
            y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · (1 where x > 0, slope where x ≤ 0)."""
        if propagate_down[0]:
            x, slope = bottom[0].data, self.options.negative_slope
            factor = x > 0
            if slope:
                factor = factor + (x <= 0) * x.dtype.type(slope)
            self.xp.multiply(top[0].diff, factor, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Plain, leaky and negative slopes; one to five axes."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("leaky", (2, 7), options={"negative_slope": 0.1, "engine": "CAFFE"})
        skip = {"in-place": "as in Caffe, a negative slope in place loses the sign of x"}
        yield Case("falling", (5,), options={"negative_slope": -0.5}, skip=skip)
        yield Case("five_axes", (2, 3, 1, 2, 2))
