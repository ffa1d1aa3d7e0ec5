"""A convolution's weights with the normalisation behind it multiplied in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..api.memory import Memory, MemoryDesc
from ..layouts import copy_between


class Folded:
    """W · s / √(σ² + eps) and (b − μ) · s / √(σ² + eps) + t, computed again when a parameter changes.

    Args:
        layer: the convolution: W and b.
        norm: the BatchNorm layer behind it, which uses running statistics μ and σ².
        scale: the Scale layer behind that, s and t; or None.
        weights, bias: the layouts in which the convolution reads them.
    """

    def __init__(self, layer: Any, norm: Any, scale: Any, weights: MemoryDesc, bias: MemoryDesc) -> None:
        self.layer, self.norm, self.scale = layer, norm, scale
        self.weights, self.bias = Memory(weights), Memory(bias)
        self._blobs = [*layer.blobs, *norm.blobs, *(scale.blobs if scale else ())]
        self._seen: tuple[int, ...] = ()

    def refresh(self) -> None:
        """Fold again if any of the parameters has changed."""
        seen = tuple(blob.synced_data.version for blob in self._blobs)
        if seen == self._seen:
            return
        mean, variance = self.norm.running_statistics()
        factor: Any = 1 / np.sqrt(variance + np.float32(self.norm.options.eps))
        if self.scale:
            factor = factor * self.scale.blobs[0].data
        bias = -mean
        if len(self.layer.blobs) > 1:
            bias = bias + self.layer.blobs[1].data
        bias = bias * factor
        if self.scale and len(self.scale.blobs) > 1:
            bias = bias + self.scale.blobs[1].data
        self.bias.flat[:] = bias
        weights = self.layer.blobs[0].data
        folded = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
        desc = self.weights.desc
        copy_between(MemoryDesc.plain(desc.dims), folded.reshape(-1), desc, self.weights.array)
        self._seen = seen
