"""LRN: local response normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text
from cafx_lib_im2col import axis_taps

if TYPE_CHECKING:
    from cafx.conformance import Case


def odd(value: int) -> str | None:
    """Option check: the value is odd."""
    return None if value % 2 else "an odd number"


@message("lrn_param", 118)
class LRNParameter(Message):
    """Options of LRN."""

    class NormRegion(IntEnum):
        """Neighbourhood of a value."""

        ACROSS_CHANNELS = 0
        WITHIN_CHANNEL = 1

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    local_size: int = option(1, "uint32", 5, doc="size of the neighbourhood per axis, odd", check=odd)
    alpha: float = option(2, "float", 1.0, doc="factor of the mean square")
    beta: float = option(3, "float", 0.75, doc="exponent of the divisor")
    norm_region: NormRegion = option(
        4, NormRegion, NormRegion.ACROSS_CHANNELS, doc="neighbourhood: ACROSS_CHANNELS or WITHIN_CHANNEL"
    )
    k: float = option(5, "float", 1.0, doc="constant of the divisor; ACROSS_CHANNELS only")
    engine: Engine = option(6, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")


class LRN(Layer):
    """Local response normalisation: y = x / s^β, s = k + α/n · Σ x² over the n values of a neighbourhood.

    ACROSS_CHANNELS: the n = local_size channels centred on x, at the same position. WITHIN_CHANNEL: the
    n = local_size² positions centred on x, in the same channel; k is 1. Values outside the blob count as 0.
    y is NaN where s is negative.

    Bottom: N×C×H×W. Top: the same shape.
    Gradient: dx = dy / s^β − 2αβ/n · x · Σ (dy · x / s^(β+1)) over the neighbourhood.

    Raises:
        CafxError: the bottom does not have four axes, or local_size is even.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012, section 3.3; within channels: Caffe's layer catalogue.

    Read by engines:
        across_channels: whether the neighbourhood is across channels, not within one.
    """

    Parameter = LRNParameter
    options: LRNParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the axes of the neighbourhood, and the factor α/n."""
        options = self.options
        self.across_channels = options.norm_region == options.NormRegion.ACROSS_CHANNELS
        self.axes = (1,) if self.across_channels else (2, 3)
        self.weight = options.alpha / options.local_size ** len(self.axes)
        self.scale: Any = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        if bottom[0].num_axes != 4:
            found = shape_text(bottom[0].shape)
            raise self.error("the bottom is not N×C×H×W", found=found, expected="4 axes")
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x · s^−β; s is kept for backward."""
        x = bottom[0].data
        scale = self._neighbourhood_sum(x * x)
        scale *= self.weight
        scale += self.options.k if self.across_channels else 1
        self.scale = scale
        self.xp.multiply(x, self._power(), out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · s^−β − 2αβ/n · x · Σ dy · x · s^−β / s."""
        if not propagate_down[0]:
            return
        x, dx = bottom[0].data, bottom[0].mutable_diff
        self.xp.multiply(top[0].diff, self._power(), out=dx)
        correction = self._neighbourhood_sum(dx * x / self.scale)
        correction *= x
        correction *= 2 * self.weight * self.options.beta
        dx -= correction

    def _neighbourhood_sum(self, values: Any) -> Any:
        """For each value, the sum over its neighbourhood, itself included."""
        for axis in self.axes:
            total, before, length = self.xp.zeros_like(values), (slice(None),) * axis, values.shape[axis]
            radius = min(self.options.local_size // 2, max(0, length - 1))
            for _, to, at in axis_taps(2 * radius + 1, 1, radius, 1, length, length):
                part = total[(*before, to)]
                part += values[(*before, at)]
            values = total
        return values

    def _power(self) -> Any:
        """s^−β; for the default β = 3/4 by square roots, which are far cheaper."""
        if self.options.beta == 0.75:
            return 1 / self.xp.sqrt(self.scale * self.xp.sqrt(self.scale))
        return self.scale**-self.options.beta

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both regions, default and other constants, and neighbourhoods larger than the plane."""
        from cafx.conformance import Case

        within = {"norm_region": "WITHIN_CHANNEL"}
        yield Case("across", (2, 7, 3, 2), options={"local_size": 3, "alpha": 0.5, "k": 2.0, "engine": "CAFFE"})
        yield Case("default", (2, 4, 2, 3))
        yield Case("other_power", (1, 6, 3, 3), options={"beta": 0.6})
        yield Case("within", (2, 3, 5, 6), options={"local_size": 3, **within})
        yield Case("small_plane", (2, 2, 3, 2), options={"local_size": 7, "beta": 0.5, **within})
