"""BatchNorm: normalisation of each channel to mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, FillerParameter, Message, NeuronLayer, Phase, at_least, message, option
from cafx_layer_batchnorm.statistics import AllBatches, OwnBatch

if TYPE_CHECKING:
    from cafx.conformance import Case

MEAN, VARIANCE, FACTOR = range(3)


@message("batch_norm_param", 139)
class BatchNormParameter(Message):
    """Options of BatchNorm."""

    use_global_stats: bool | None = option(
        1, "bool", doc="normalise by running statistics (default: in TEST phase only)"
    )
    moving_average_fraction: float = option(2, "float", 0.999, doc="decay of the running statistics per forward pass")
    eps: float = option(3, "float", 1e-5, doc="added to the variance", check=at_least(0))


class BatchNorm(NeuronLayer):
    """Batch normalisation: y = (x − μ) / √(σ² + eps), with the mean μ and variance σ² of each channel.

    Bottom: N×C×…, at least two axes. Top: the same shape; may be computed in place.
    Parameters, not trained by a solver: sum of means (C), sum of variances (C), sum of weights (1). With batch
    statistics, each forward pass decays the sums by ``moving_average_fraction`` and adds μ, σ² · m/(m−1) (m values
    per channel) and 1. Running statistics are the first two sums divided by the third, or 0 if that is 0.
    Gradient with batch statistics: dx = (dy − mean dy − y · mean dy·y) / √(σ² + eps), means per channel;
    with running statistics: dx = dy / √(σ² + eps). y is not finite where σ² + eps is 0.
    In processes that train together with ``syncs_statistics``, all means in TRAIN phase are over the values of all of
    them, and the gradient is that of the sum of their losses.

    Raises:
        CafxError: the bottom has fewer than two axes, or its number of channels has changed since setup.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015. Scale adds the learned γ and β.

    Read by engines:
        eps: that of the formula.
        syncs_statistics: whether the batch's statistics are those of all processes' batches together.
        uses_running_statistics: whether running statistics normalise, instead of the batch's.
        running_statistics: method; running mean and variance, (C,) each.
        update_running_statistics: method; adds a batch's mean and variance, (C,) each, to the sums.
    """

    Parameter = BatchNormParameter
    options: BatchNormParameter
    learnable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the three sums, initialised to 0."""
        channels = bottom[0].shape[self.axis(bottom[0], 1)]
        for shape in ((channels,), (channels,), (1,)):
            self.add_parameter(shape, FillerParameter())
        self.eps, given = self.options.eps, self.options.use_global_stats
        self.uses_running_statistics = self.phase == Phase.TEST if given is None else given
        ranks, trains = self.context.communicator, self.phase == Phase.TRAIN and not self.uses_running_statistics
        self.syncs_statistics = trains and ranks.size > 1 and ranks.syncs_statistics
        self.batch = AllBatches(self) if self.syncs_statistics else OwnBatch(self)
        self.normalised = self.context.blob((), f"{self.name}.normalised")

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        """Whether it waits for no other process."""
        return not self.syncs_statistics

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        super().reshape(bottom, top)
        channels = self.blobs[MEAN].shape[0]
        if bottom[0].num_axes < 2 or bottom[0].shape[1] != channels:
            raise self.error("wrong number of channels", found=bottom[0].shape[1:2], expected=channels)
        self.view = (bottom[0].shape[0], channels, math.prod(bottom[0].shape[2:]))
        self.batch.count = self.view[0] * self.view[2]
        if not self.uses_running_statistics:
            self.normalised.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = (x − μ) / √(σ² + eps)."""
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        if not x.size and not self.syncs_statistics:
            return
        if self.uses_running_statistics:
            mean, variance = (each.reshape(1, -1, 1) for each in self.running_statistics())
            self.xp.subtract(x, mean, out=y)
        else:
            mean, variance = self.batch.centre(x, y)
            self.update_running_statistics(mean.reshape(-1), variance.reshape(-1))
        self.deviation = self.xp.sqrt(variance + self.eps)
        y /= self.deviation
        if not self.uses_running_statistics:
            self.normalised.mutable_data[...] = top[0].data

    def running_statistics(self) -> tuple[Any, Any]:
        """Running mean and variance of each channel: two new arrays of shape (C,)."""
        mean, variance, weight = (blob.data for blob in self.blobs)
        factor = (weight != 0) / self.xp.where(weight == 0, 1, weight)
        return mean * factor, variance * factor

    def update_running_statistics(self, mean: Any, variance: Any) -> None:
        """Decay the sums and add the statistics of one batch of the bottom's present shape.

        Args:
            mean: mean of each channel, (C,).
            variance: biased variance of each channel, (C,): the mean squared deviation.
        """
        count = self.batch.count
        correction = count / (count - 1) if count > 1 else 1.0
        for blob, statistic in zip(self.blobs, (mean, variance * correction, 1.0), strict=True):
            total = blob.mutable_data
            total *= self.options.moving_average_fraction
            total += statistic

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = (dy − mean dy − y · mean dy·y) / √(σ² + eps), or dy / √(σ² + eps)."""
        dy = top[0].diff.reshape(self.view)
        if not propagate_down[0] or not (dy.size or self.syncs_statistics):
            return
        dx = bottom[0].mutable_diff.reshape(self.view)
        if not self.uses_running_statistics:
            y = self.normalised.data.reshape(self.view)
            shift, slope = self.batch.means(dy, y)
            correction = self.batch.product(y, slope)
            correction += shift
            dy = self.xp.subtract(dy, correction, out=dx)
        self.xp.divide(dy, self.deviation, out=dx)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Batch and running statistics in both phases; two to five axes."""
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
