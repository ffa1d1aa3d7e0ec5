"""A convolution's weights with the normalisation behind it multiplied in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..api.constants import Arg
from ..api.memory import Memory, MemoryDesc
from ..layouts import copy_between


class Folded:
    """W · s / √(σ² + eps) and (b − μ) · s / √(σ² + eps) + t, computed again when a parameter changes.

    Args:
        layer: the convolution: W and b.
        norm: the BatchNorm layer behind it, which uses running statistics μ and σ².
        scale: what has s and t, a Scale layer or a part of ``norm``; or None.
        weights, bias: the layouts in which the convolution reads them.
    """

    def __init__(self, layer: Any, norm: Any, scale: Any, weights: MemoryDesc, bias: MemoryDesc) -> None:
        self.layer, self.norm, self.scale = layer, norm, scale
        self.weights, self.bias = Memory(weights), Memory(bias)
        self._blobs = [*layer.blobs, *norm.blobs, *(scale.blobs if scale else ())]
        self._seen: list[int] = []
        self._finite = True

    def __call__(self) -> bool:
        """Fold again if any of the parameters has changed; returns whether all are finite."""
        seen = [blob.synced_data.version for blob in self._blobs]
        if seen != self._seen:
            self._finite = all(bool(np.isfinite(blob.data).all()) for blob in self._blobs)
            if self._finite:
                self._fold()
            self._seen = seen
        return self._finite

    def release(self) -> None:
        """Keep what is folded."""

    def _fold(self) -> None:
        mean, variance = self.norm.running_statistics()
        factor: Any = 1 / np.sqrt(variance + np.float32(self.norm.eps))
        if self.scale:
            factor = factor * self.scale.blobs[0].data.reshape(-1)
        bias = -mean
        if len(self.layer.blobs) > 1:
            bias = bias + self.layer.blobs[1].data
        bias = bias * factor
        if self.scale and len(self.scale.blobs) > 1:
            bias = bias + self.scale.blobs[1].data.reshape(-1)
        self.bias.flat[:] = bias
        weights = self.layer.blobs[0].data
        folded = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
        desc = self.weights.desc
        copy_between(MemoryDesc.plain(desc.dims), folded.reshape(-1), desc, self.weights.array)
        self.weights.version += 1
        self.bias.version += 1


class Unfolded:
    """The same parameters as they are.

    Args:
        layer, norm, scale, weights, bias: as for `Folded`.

    Attributes:
        weights, bias: the convolution's.
        arguments: the normalisation's.
    """

    def __init__(self, layer: Any, norm: Any, scale: Any, weights: MemoryDesc, bias: MemoryDesc) -> None:
        self.layer, self.norm, self.scale = layer, norm, scale
        self.weights, self.bias = Memory(weights), Memory(bias)
        self.arguments = {arg: Memory(bias) for arg in (Arg.MEAN, Arg.VARIANCE, Arg.SCALE, Arg.SHIFT)}

    def load(self) -> None:
        """Take over the parameters' present values."""
        blobs, scale, desc = self.layer.blobs, self.scale.blobs if self.scale else (), self.weights.desc
        mean, variance = self.norm.running_statistics()
        factor = scale[0].data.reshape(-1) if scale else 1
        shift = scale[1].data.reshape(-1) if len(scale) > 1 else 0
        self.bias.flat[:] = blobs[1].data if len(blobs) > 1 else 0
        for arg, values in zip(self.arguments, (mean, variance, factor, shift), strict=True):
            self.arguments[arg].flat[:] = values
        values = np.array(blobs[0].data).reshape(-1)
        copy_between(MemoryDesc.plain(desc.dims), values, desc, self.weights.array)
