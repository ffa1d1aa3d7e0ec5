"""The passes of BN, whatever the statistics are."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Blob, Layer

SLOPE, BIAS, MEAN = range(3)


class Passes(Layer):
    """Base class of BN: y = γ x̂ + β with given or the batch's statistics, and its gradients.

    Attributes:
        eps, learns, uses_running_statistics, through_statistics: see `BN`.
        view: shape of the activations as batch×channels×positions.
        kept: x̂, in place, where backward needs it.
    """

    eps: float
    learns: bool
    uses_running_statistics: bool
    through_statistics: bool
    view: tuple[int, int, int]
    kept: Blob

    def running_statistics(self) -> tuple[Any, Any]:
        """Mean and variance that are given, (C,) each."""
        raise NotImplementedError

    def update_running_statistics(self, mean: Any, variance: Any) -> None:
        """Take note of a batch's mean and variance, (C,) each."""
        raise NotImplementedError

    def reshape_kept(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make room for x̂ if the top overwrites what it is computed from."""
        self.keeps = bottom[0] is top[0] and (self.learns or self.through_statistics)
        if self.keeps:
            self.kept.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = γ x̂ + β."""
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        if not x.size:
            return
        normalised = self.kept.mutable_data.reshape(self.view) if self.keeps else y
        if self.uses_running_statistics:
            self.mean, variance = (self._per_channel(each) for each in self.running_statistics())
        else:
            self.mean, variance = self._batch_statistics(x)
        for blob, statistic in zip(top[1:], (self.mean, variance), strict=False):
            blob.mutable_data[...] = statistic.reshape(blob.shape)
        self.factor = 1 / self.xp.sqrt(variance + self.eps)
        self._normalise(x, normalised)
        self.xp.multiply(normalised, self._per_channel(self.blobs[SLOPE].data), out=y)
        y += self._per_channel(self.blobs[BIAS].data)

    def _batch_statistics(self, x: Any) -> tuple[Any, Any]:
        mean = x.mean(axis=(0, 2), keepdims=True)
        squares = self.workspace(self.view)
        self.xp.subtract(x, mean, out=squares)
        squares *= squares
        variance = squares.mean(axis=(0, 2), keepdims=True)
        self.update_running_statistics(mean.reshape(-1), variance.reshape(-1))
        return mean, variance

    def _normalise(self, x: Any, out: Any) -> None:
        self.xp.subtract(x, self.mean, out=out)
        out *= self.factor

    def _per_channel(self, values: Any) -> Any:
        return values.reshape(1, -1, 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dγ += Σ dy x̂, dβ += Σ dy, dx = γ (dy − mean dy − x̂ mean dy·x̂) / √(σ² + eps) or γ dy / √(σ² + eps)."""
        dy = top[0].diff.reshape(self.view)
        if not dy.size:
            return
        if self.learns or self.through_statistics:
            normalised = self._normalised(bottom[0])
            product = self.workspace(self.view, "product")
            self.xp.multiply(dy, normalised, out=product)
            sums = [each.sum(axis=(0, 2), keepdims=True) for each in (product, dy)]
        for index, blob in enumerate(self.blobs[:MEAN] if self.learns else ()):
            if self.param_propagate_down[index]:
                blob.mutable_diff[...] += sums[index].reshape(blob.shape)
        if not propagate_down[0]:
            return
        dx, gamma = bottom[0].mutable_diff.reshape(self.view), self._per_channel(self.blobs[SLOPE].data)
        if self.through_statistics:
            slope, shift = (each / (self.view[0] * self.view[2]) for each in sums)
            self.xp.multiply(normalised, slope, out=product)
            product += shift + 0 * gamma  # NaN where γ is infinite: there it would be a mean of γ dy
            dy = self.xp.subtract(dy, product, out=dx)
        self.xp.multiply(dy, self.factor * gamma, out=dx)

    def _normalised(self, bottom: Blob) -> Any:
        """x̂, kept or computed again."""
        if self.keeps:
            return self.kept.data.reshape(self.view)
        normalised = self.workspace(self.view, "normalised")
        self._normalise(bottom.data.reshape(self.view), normalised)
        return normalised
