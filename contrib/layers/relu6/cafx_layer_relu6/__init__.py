"""ReLU6: rectified linear unit capped at 6."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case

CAP = 6.0


@message("relu6_param")
class ReLU6Parameter(Message):
    """Options of ReLU6 in chuanqi305/ssd and in MobileNet-YOLO, which adds negative_slope."""

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    negative_slope: float = option(1, "float", 0.0, doc="slope for x <= 0")
    engine: Engine = option(2, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")


class ReLU6(NeuronLayer):
    """Rectified linear unit capped at 6: y = min(max(x, 0), 6) + negative_slope · min(x, 0).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy where 0 < x < 6, negative_slope · dy where x ≤ 0, else 0.

    Source: Krizhevsky, "Convolutional Deep Belief Networks on CIFAR-10", 2010; used in MobileNet (Howard et al.,
    2017). The layer is from chuanqi305/ssd and eric612/MobileNet-YOLO.
    """

    Parameter = ReLU6Parameter
    options: ReLU6Parameter
    kinks = (0.0, CAP)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = min(max(x, 0), 6) + slope · min(x, 0)."""
        x, slope = bottom[0].data, self.options.negative_slope
        y = top[0].mutable_data
        below = slope * self.xp.minimum(x, 0) if slope else None
        self.xp.clip(x, 0, CAP, out=y)
        if below is not None:
            y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · (1 where 0 < x < 6, slope where x ≤ 0, else 0)."""
        if propagate_down[0]:
            x, slope = bottom[0].data, self.options.negative_slope
            factor = (x > 0) & (x < CAP)
            if slope:
                factor = factor + (x <= 0) * x.dtype.type(slope)
            self.xp.multiply(top[0].diff, factor, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Plain, leaky and negative slopes, on both sides of both kinks."""
        from cafx.conformance import Case, uniform

        yield Case("plain", uniform((2, 3, 4, 5), -4, 10))
        yield Case("leaky", uniform((2, 9), -4, 10), options={"negative_slope": 0.1, "engine": "CAFFE"})
        skip = {"in-place": "as in the fork, a negative slope in place loses the sign of x"}
        yield Case("falling", uniform((7,), -4, 10), options={"negative_slope": -0.5}, skip=skip)
        yield Case("five_axes", uniform((2, 3, 1, 2, 2), -4, 10))
