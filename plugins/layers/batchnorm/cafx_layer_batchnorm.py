"""BatchNorm: each channel shifted and scaled to mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, FillerParameter, Message, NeuronLayer, Phase, at_least, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case

MEAN, VARIANCE, FACTOR = range(3)


@message("batch_norm_param", 139)
class BatchNormParameter(Message):
    """Options of BatchNorm."""

    use_global_stats: bool | None = option(
        1, "bool", doc="normalise by the running statistics; unstated, in TEST phase only"
    )
    moving_average_fraction: float = option(
        2, "float", 0.999, doc="weight of the older statistics in each update of the running ones"
    )
    eps: float = option(3, "float", 1e-5, doc="added to the variance", check=at_least(0))


class BatchNorm(NeuronLayer):
    """Batch normalisation: y = (x − μ) / √(σ² + eps), μ and σ² a channel's mean and variance.

    Bottom: N×C×…, of two axes or more. Top: the same shape; may be the bottom itself.
    Parameters, which a solver leaves alone: Σ of means (C), Σ of variances (C), Σ of weights (1).
    With the batch's own statistics each forward decays the three sums by
    ``moving_average_fraction`` and adds μ, σ² · m/(m−1) (m values a channel) and 1; the running
    statistics are the first two over the third, or 0 where that is 0.
    Gradient, batch statistics: dx = (dy − mean dy − y · mean dy·y) / √(σ² + eps), means over the
    channel; running statistics: dx = dy / √(σ² + eps). With eps 0 and σ² 0 y is not finite.

    Raises:
        CafxError: fewer than two axes, or another number of channels than at setup.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015. Scale adds the learned γ and β.
    """

    Parameter = BatchNormParameter
    options: BatchNormParameter
    learnable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the three sums, all zero."""
        channels = bottom[0].shape[self.axis(bottom[0], 1)]
        for shape in ((channels,), (channels,), (1,)):
            self.add_parameter(shape, FillerParameter())
        stated = self.options.use_global_stats
        self.running = self.phase == Phase.TEST if stated is None else stated
        self.normalised = self.context.blob((), f"{self.name}.normalised")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        super().reshape(bottom, top)
        channels = self.blobs[MEAN].shape[0]
        if bottom[0].num_axes < 2 or bottom[0].shape[1] != channels:
            raise self.error("takes another number of channels", found=bottom[0].shape[1:2], expected=channels)
        self.view = (bottom[0].shape[0], channels, math.prod(bottom[0].shape[2:]))
        if not self.running:
            self.normalised.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = (x − μ) / √(σ² + eps)."""
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        if not x.size:
            return
        mean = self._running(MEAN) if self.running else self._mean(x)
        self.xp.subtract(x, mean, out=y)
        variance = self._running(VARIANCE) if self.running else self._mean_of_product(y, y)
        self.deviation = self.xp.sqrt(variance + self.options.eps)
        y /= self.deviation
        if not self.running:
            self._remember(mean, variance)
            self.normalised.mutable_data[...] = top[0].data
            made = top[0].synced_data
            self.context.copies[made] = (made.version, self.normalised)  # a Scale in place needs it too

    def _mean(self, values: Any) -> Any:
        """The mean of each channel."""
        return values.mean(axis=(0, 2), keepdims=True)

    def _mean_of_product(self, one: Any, other: Any) -> Any:
        """The mean of each channel of one · other."""
        product = self.workspace(self.view)
        self.xp.multiply(one, other, out=product)
        return self._mean(product)

    def _running(self, statistic: int) -> Any:
        """A running statistic: its sum over the sum of weights."""
        total = float(self.blobs[FACTOR].data[0])
        return self.blobs[statistic].data.reshape(1, -1, 1) * (1 / total if total else 0.0)

    def _remember(self, mean: Any, variance: Any) -> None:
        """Add the batch's statistics, the variance without bias, to the decayed sums."""
        count = self.view[0] * self.view[2]
        correction = count / (count - 1) if count > 1 else 1.0
        for blob, new in zip(self.blobs, (mean, variance * correction, 1.0), strict=True):
            total = blob.mutable_data
            total *= self.options.moving_average_fraction
            total += new if isinstance(new, float) else new.reshape(-1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = (dy − mean dy − y · mean dy·y) / √(σ² + eps), or dy / √(σ² + eps)."""
        dy = top[0].diff.reshape(self.view)
        if not propagate_down[0] or not dy.size:
            return
        dx = bottom[0].mutable_diff.reshape(self.view)
        if not self.running:
            y = self.normalised.data.reshape(self.view)
            shift, slope = self._mean(dy), self._mean_of_product(dy, y)
            correction = self.workspace(self.view)
            self.xp.multiply(y, slope, out=correction)
            correction += shift
            dy = self.xp.subtract(dy, correction, out=dx)
        self.xp.divide(dy, self.deviation, out=dx)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Statistics of the batch and running ones in both phases, from two axes to five."""
        from cafx.conformance import Case, normal

        def positive(rng: Any, shape: Any) -> Any:
            return rng.uniform(0.5, 2.0, shape)

        sums = {MEAN: positive, VARIANCE: positive, FACTOR: positive}
        fraction = {"moving_average_fraction": 0.7, "eps": 0.01}
        yield Case("images", normal((3, 2, 4, 5), 2.0, 1.0))
        yield Case("rows", (6, 3), options=fraction, params=sums)
        yield Case("volumes", (2, 3, 2, 1, 3), options={"use_global_stats": False}, phase=Phase.TEST)
        yield Case("running", (3, 2, 4), params=sums, phase=Phase.TEST)
        yield Case("frozen", (3, 2, 4, 1), options={"use_global_stats": True}, params=sums)
