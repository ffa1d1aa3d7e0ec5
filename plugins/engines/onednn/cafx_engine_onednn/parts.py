"""Blobs that stand for their concatenation, and the kernel that normalises them.

DenseNet concatenates what all layers before have computed, normalises it, and concatenates it again with more: in
inference, copying takes longer than normalising. The copies are not made there; the normalisation reads the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob
from cafx.kernel.blob import Place

from .api.memory import Memory, MemoryDesc


class PartsPlace(Place):
    """Where an array is a sequence of blobs, concatenated along the channels."""

    name = "parts"
    shareable = False

    def to_host(self, array: Sequence[Blob], host: npt.NDArray[Any]) -> None:
        """A concatenation; zeros if the blobs have been reshaped since."""
        if sum(blob.count_ for blob in array) == host.size:
            host[...] = np.concatenate([blob.data for blob in array], axis=1).reshape(-1)
        else:
            host[...] = 0


PARTS = PartsPlace()


@attrs.define(eq=False)
class Written:
    """A pass that declares that a blob is in parts.

    Attributes:
        top: the blob.
        parts: the parts.
    """

    top: Blob
    parts: Sequence[Blob]
    accesses: Sequence[Any] = ()

    def join(self, recording: Any) -> bool:
        """It calls nothing, and what it has declared stays true."""
        return True

    def release(self) -> None:
        """It holds nothing."""

    def __call__(self) -> None:
        """Declare it."""
        self.top.synced_data.mark_written(PARTS, self.parts)


class Factors:
    """μ, s / √(σ² + eps) and b of a normalisation by running statistics, computed again when they change.

    Args:
        norm: the BatchNorm layer.
        scale: what has s and b, a Scale layer or a part of ``norm``; or None.
        channels: number of channels.

    Attributes:
        mean, factor, shift: one value per channel.
    """

    def __init__(self, norm: Any, scale: Any, channels: int) -> None:
        self._norm, self._scale = norm, scale.blobs if scale is not None else ()
        self._blobs = [*norm.blobs, *self._scale]
        self._seen: list[int] = []
        self.mean, self.factor, self.shift = (Memory(MemoryDesc.plain((channels,))) for _ in range(3))

    def __call__(self) -> None:
        """Look, and compute them again if need be."""
        seen = [blob.synced_data.version for blob in self._blobs]
        if seen == self._seen:
            return
        scale = [blob.data.reshape(-1) for blob in self._scale]
        mean, variance = self._norm.running_statistics()
        factor = 1 / np.sqrt(variance + np.float32(self._norm.eps))
        self.mean.flat[:] = mean
        self.factor.flat[:] = factor * scale[0] if scale else factor
        self.shift.flat[:] = scale[1] if len(scale) > 1 else 0
        self._seen = seen
