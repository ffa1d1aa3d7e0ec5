"""BN as oneDNN's batch normalisation, scale and shift included."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx.kernel import Blob, Unsupported
from cafx_engine_onednn.routines.batch_norm import BatchNorm

from .passes import MEAN


@attrs.frozen(eq=False)
class Factors:
    """γ and β, and which of their gradients are needed."""

    blobs: Sequence[Blob]
    param_propagate_down: Sequence[bool]


class BN(BatchNorm):
    """Both forks' layers, but not the backward pass of PSPNet's in TEST phase, nor statistics as tops."""

    def choose(self) -> None:
        """As for BatchNorm."""
        layer = self.layer
        if len(self.tops) > 1:
            raise Unsupported("statistics as tops")
        if self.training and layer.uses_running_statistics and layer.through_statistics:
            raise Unsupported("a backward pass in TEST phase")
        needed = layer.param_propagate_down[:MEAN] if layer.learns else [False] * MEAN
        self.own_scale = Factors(layer.blobs[:MEAN], needed)
        super().choose()
