"""Statistics of each channel: of this process's batch, or of those of all processes that train together."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Layer


class OwnBatch:
    """Means over the batch of this process.

    All arrays are N×C×(rest), all results 1×C×1.

    Args:
        layer: whose array module and scratch memory are used.

    Attributes:
        count: number of values per channel.
    """

    count: float = 0

    def __init__(self, layer: Layer) -> None:
        self._layer, self._xp = layer, layer.xp

    def centre(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Write x − μ to ``y``; returns μ and σ² (biased)."""
        self.count = x.shape[0] * x.shape[2]
        mean = self._mean(x)
        self._xp.subtract(x, mean, out=y)
        return mean, self._mean(self.product(y, y))

    def means(self, dy: Any, y: Any) -> tuple[Any, Any]:
        """The means of dy and of dy · y."""
        return self._mean(dy), self._mean(self.product(dy, y))

    def product(self, first: Any, second: Any) -> Any:
        """The elementwise product, in scratch memory."""
        product = self._layer.workspace(first.shape)
        self._xp.multiply(first, second, out=product)
        return product

    def _mean(self, values: Any) -> Any:
        return values.mean(axis=(0, 2), keepdims=True)


class AllBatches(OwnBatch):
    """Means over the batches of all processes, whose sizes may differ.

    One exchange per call. Sums are in float64, in which the squares of values far from 0 do not cancel.
    """

    def centre(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Write x − μ to ``y``; returns μ and σ² (biased)."""
        rows, channels = x.shape[0] * x.shape[2], x.shape[1]
        own = self._sum(x) / max(rows, 1)
        scratch = self._layer.workspace(x.shape)
        self._xp.subtract(x, self._shaped(own, x), out=scratch)  # y may be x
        sums = self._xp.empty(2 * channels + 1, np.float64)
        sums[:channels] = own * rows
        sums[channels:-1] = self._sum(self.product(scratch, scratch)) + own * own * rows
        sums[-1] = rows
        self._layer.context.communicator.allreduce(sums)
        self.count = float(sums[-1])
        sums /= max(self.count, 1)
        mean, squares = sums[:channels], sums[channels:-1]
        variance = self._xp.maximum(squares - mean * mean, 0)
        self._xp.subtract(x, self._shaped(mean, x), out=y)
        return self._shaped(mean, x), self._shaped(variance, x)

    def means(self, dy: Any, y: Any) -> tuple[Any, Any]:
        """The means of dy and of dy · y."""
        channels = dy.shape[1]
        sums = self._xp.empty(2 * channels, np.float64)
        sums[:channels], sums[channels:] = self._sum(dy), self._sum(self.product(dy, y))
        self._layer.context.communicator.allreduce(sums)
        sums /= max(self.count, 1)
        return self._shaped(sums[:channels], dy), self._shaped(sums[channels:], dy)

    def _sum(self, values: Any) -> Any:
        return values.sum(axis=(0, 2), dtype=np.float64)

    def _shaped(self, values: Any, like: Any) -> Any:
        return values.astype(like.dtype).reshape(1, -1, 1)
