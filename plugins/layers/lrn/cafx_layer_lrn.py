"""LRN: local response normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text
from cafx_layer_im2col import meetings

if TYPE_CHECKING:
    from cafx.conformance import Case


def odd(value: int) -> str | None:
    """A check: the value is odd."""
    return None if value % 2 else "an odd number"


@message("lrn_param", 118)
class LRNParameter(Message):
    """Options of LRN."""

    class NormRegion(IntEnum):
        """What counts as near."""

        ACROSS_CHANNELS = 0
        WITHIN_CHANNEL = 1

    class Engine(IntEnum):
        """Which of Caffe's implementations; cafx chooses by its own engine."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    local_size: int = option(1, "uint32", 5, doc="channels, or rows, that are near; odd", check=odd)
    alpha: float = option(2, "float", 1.0, doc="weight of the mean square")
    beta: float = option(3, "float", 0.75, doc="power of the divisor")
    norm_region: NormRegion = option(4, NormRegion, NormRegion.ACROSS_CHANNELS, doc="what counts as near")
    k: float = option(5, "float", 1.0, doc="constant of the divisor; always 1 within a channel")
    engine: Engine = option(6, Engine, Engine.DEFAULT, doc="read and ignored")


class LRN(Layer):
    """Local response normalisation: y = x / s^β, s = k + α/n · Σ x² over the n values near x.

    ACROSS_CHANNELS: the n = local_size channels around x's, at its place. WITHIN_CHANNEL: the
    n = local_size² places around x's, in its channel; k is 1. What lies outside counts as 0. Where
    negative constants make s negative, y is not a number.

    Bottom: N×C×H×W. Top: the same shape.
    Gradient: dx = dy / s^β − 2αβ/n · x · Σ (dy · x / s^(β+1)) over the values near.

    Raises:
        CafxError: not four axes, or an even local_size.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012, section 3.3; within channels: Caffe's layer catalogue.
    """

    Parameter = LRNParameter
    options: LRNParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Which axes are near, and how much their squares weigh."""
        options = self.options
        self.across = options.norm_region == options.NormRegion.ACROSS_CHANNELS
        self.axes = (1,) if self.across else (2, 3)
        self.weight = options.alpha / options.local_size ** len(self.axes)
        self.scale: Any = None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        if bottom[0].num_axes != 4:
            found = shape_text(bottom[0].shape)
            raise self.error("the bottom is not N×C×H×W", found=found, expected="4 axes")
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x · s^−β; s is kept."""
        x = bottom[0].data
        scale = self._near(x * x)
        scale *= self.weight
        scale += self.options.k if self.across else 1
        self.scale = scale
        self.xp.multiply(x, self._power(), out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · s^−β − 2αβ/n · x · Σ dy · x · s^−β / s."""
        if not propagate_down[0]:
            return
        x, dx = bottom[0].data, bottom[0].mutable_diff
        self.xp.multiply(top[0].diff, self._power(), out=dx)
        shared = self._near(dx * x / self.scale)
        shared *= x
        shared *= 2 * self.weight * self.options.beta
        dx -= shared

    def _near(self, values: Any) -> Any:
        """For each value the sum of those near it, itself among them."""
        for axis in self.axes:
            total, before, length = self.xp.zeros_like(values), (slice(None),) * axis, values.shape[axis]
            reach = min(self.options.local_size // 2, max(0, length - 1))
            for _, to, at in meetings(2 * reach + 1, 1, reach, 1, length, length):
                part = total[(*before, to)]
                part += values[(*before, at)]
            values = total
        return values

    def _power(self) -> Any:
        """s^−β; for the usual β of 3/4 by square roots, which cost far less."""
        if self.options.beta == 0.75:
            return 1 / self.xp.sqrt(self.scale * self.xp.sqrt(self.scale))
        return self.scale**-self.options.beta

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both regions, usual and unusual constants, and regions larger than what there is."""
        from cafx.conformance import Case

        within = {"norm_region": "WITHIN_CHANNEL"}
        yield Case("across", (2, 7, 3, 2), options={"local_size": 3, "alpha": 0.5, "k": 2.0, "engine": "CAFFE"})
        yield Case("default", (2, 4, 2, 3))
        yield Case("other_power", (1, 6, 3, 3), options={"beta": 0.6})
        yield Case("within", (2, 3, 5, 6), options={"local_size": 3, **within})
        yield Case("small_plane", (2, 2, 3, 2), options={"local_size": 7, "beta": 0.5, **within})
