"""ReLU: rectified linear unit."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

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
    Gradient: dx = dy where x > 0, else negative_slope · dy; as in Caffe, 0 · dy where x is NaN. In place, the sign of y
    tells that of x, unless the slope is below 0: then the factors of dy are kept, where Caffe takes wrong ones.

    Source: Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010;
    leaky: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013.
    """

    Parameter = ReLUParameter
    options: ReLUParameter
    kinks = (0.0,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See whether the sign of x is lost."""
        self.keeps_factor = bottom[0] is top[0] and self.options.negative_slope < 0
        self.as_written = "a slope below 0 in place" if self.keeps_factor else ""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        super().reshape(bottom, top)
        if self.keeps_factor:
            self.factor = self.xp.empty(bottom[0].shape, self.context.dtype)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = max(x, 0) + slope · min(x, 0)."""
        x, slope = bottom[0].data, self.options.negative_slope
        if self.keeps_factor:
            self.factor[...] = self._factor(x)
        y = top[0].mutable_data
        below = slope * self.xp.minimum(x, 0) if slope else None
        self.xp.maximum(x, 0, out=y)
        if below is not None:
            y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · (1 where x > 0, slope where x ≤ 0)."""
        if propagate_down[0]:
            factor = self.factor if self.keeps_factor else self._factor(bottom[0].data)
            self.xp.multiply(top[0].diff, factor, out=bottom[0].mutable_diff)

    def _factor(self, x: Any) -> Any:
        """1 where x > 0, slope where x ≤ 0."""
        slope = self.options.negative_slope
        return (x > 0) + (x <= 0) * x.dtype.type(slope) if slope else x > 0

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Plain, leaky and negative slopes; one to five axes."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("leaky", (2, 7), options={"negative_slope": 0.1, "engine": "CAFFE"})
        yield Case("falling", (5,), options={"negative_slope": -0.5})
        yield Case("five_axes", (2, 3, 1, 2, 2))
