"""MVN: normalisation to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case

MAX_AXES = 4


@message("mvn_param", 120)
class MVNParameter(Message):
    """Options of MVN."""

    normalize_variance: bool = option(1, "bool", True, doc="divide by the standard deviation")
    across_channels: bool = option(2, "bool", False, doc="compute statistics per item instead of per channel")
    eps: float = option(3, "float", 1e-9, doc="added to the standard deviation")


class MVN(NeuronLayer):
    """Mean-variance normalisation: y = (x − m) / (√v + eps), or without normalize_variance y = x − m.

    Mean m and variance v are those of each channel of each item or, with across_channels, of each item.
    Bottom: one to four axes, N×C×H×W. Top: the same shape; may be computed in place.
    Gradient: dx = (dy − mean(dy) − y · mean(y · dy)) / (√v + eps), or dy − mean(dy); exact for eps = 0.
    y is NaN where √v + eps is 0.

    Raises:
        CafxError: the bottom has more than four axes.

    Source: Caffe's layer catalogue.
    """

    Parameter = MVNParameter
    options: MVNParameter
    reads_tops = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape; statistics are those of the rows of a matrix."""
        if bottom[0].num_axes > MAX_AXES:
            raise self.error("too many axes", found=bottom[0].num_axes, expected=f"1 to {MAX_AXES}")
        super().reshape(bottom, top)
        split = 1 if self.options.across_channels else 2
        self.rows = (bottom[0].count(0, split), bottom[0].count(split))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = (x − m) / (√v + eps)."""
        x, y = bottom[0].data.reshape(self.rows), top[0].mutable_data.reshape(self.rows)
        if not x.size:
            return
        self.xp.subtract(x, x.mean(axis=1, keepdims=True), out=y)
        if self.options.normalize_variance:
            variance = (y * y).mean(axis=1, keepdims=True)
            self.deviation = self.xp.sqrt(variance) + self.options.eps
            y /= self.deviation

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = (dy − mean(dy) − y · mean(y · dy)) / (√v + eps)."""
        dy, y = top[0].diff.reshape(self.rows), top[0].data.reshape(self.rows)
        if not propagate_down[0] or not dy.size:
            return
        gradient = dy - dy.mean(axis=1, keepdims=True)
        if self.options.normalize_variance:
            gradient -= y * (y * dy).mean(axis=1, keepdims=True)
            gradient /= self.deviation
        bottom[0].mutable_diff.reshape(self.rows)[...] = gradient

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """With and without the variance, per channel and per item."""
        from cafx.conformance import Case

        yield Case("channels", (2, 3, 4, 5))
        yield Case("mean_only", (2, 3, 7), options={"normalize_variance": False})
        yield Case("items", (3, 2, 2, 5), options={"across_channels": True, "eps": 1e-6})
        yield Case("items_mean_only", (3, 5), options={"across_channels": True, "normalize_variance": False})
