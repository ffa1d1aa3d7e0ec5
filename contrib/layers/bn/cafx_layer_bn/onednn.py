"""BN as one primitive of oneDNN, scale and shift included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from cafx.kernel import Blob, Unsupported
from cafx_engine_onednn.api.memory import MemoryDesc
from cafx_engine_onednn.execution import Invocation, Work
from cafx_engine_onednn.routines.batch_norm import PerChannel
from cafx_engine_onednn.routines.convolution import ACTIVATIONS

from .passes import MEAN


@attrs.frozen(eq=False)
class Factors:
    """γ and β, and which of their gradients are needed."""

    blobs: Sequence[Blob]
    param_propagate_down: Sequence[bool]


class BN(PerChannel):
    """Both forks' layers, but not the backward pass of PSPNet's in TEST phase, nor statistics as tops."""

    def choose(self) -> None:
        """The bottom's layout, else blocks of 16 channels."""
        layer, bottom = self.layer, self.bottoms[0]
        if not 2 <= len(bottom.shape) <= 5:
            raise Unsupported(f"{len(bottom.shape)} axes")
        if len(self.tops) > 1:
            raise Unsupported("statistics as tops")
        if not layer.eps:
            raise Unsupported("eps 0 divides by 0 in the padding of a block")
        self.eps, self.running = layer.eps, layer.uses_running_statistics
        if self.training and self.running and layer.through_statistics:
            raise Unsupported("a backward pass in TEST phase")
        needed = layer.param_propagate_down[:MEAN] if layer.learns else [False] * MEAN
        self.scale = Factors(layer.blobs[:MEAN], needed)
        sources = [self.layout(bottom)]
        if len(bottom.shape) in ACTIVATIONS:
            sources.append(MemoryDesc.tagged(bottom.shape, ACTIVATIONS[len(bottom.shape)], self.engine.type))
        self.choose_among(*sources)
        self.build.set_layout(self.tops[0], self.forward_desc.dst)

    def around(self, call: Invocation) -> list[Work]:
        """Running statistics are read before the primitive; the batch's are added to them after it."""
        before: Callable[[], None] = self._read_statistics
        return [before, call] if self.running else [call, self._update_statistics]

    def _read_statistics(self) -> None:
        self.mean.flat[:], self.variance.flat[:] = self.layer.running_statistics()

    def _update_statistics(self) -> None:
        self.layer.update_running_statistics(self.mean.flat, self.variance.flat)
