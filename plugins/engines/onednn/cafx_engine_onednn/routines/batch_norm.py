"""Batch normalisation."""

from __future__ import annotations

from functools import partial
from typing import Any

from cafx.kernel import Blob, Unsupported

from ..api.memory import MemoryDesc
from ..execution import Beforehand, Deferred, Execution, Invocation, Run, Work
from ..operands import Operand
from ..parts import Factors
from .batch_statistics import BatchStatistics
from .convolution import ACTIVATIONS, BLOCK, IMAGES
from .per_channel import PerChannel


class BatchNorm(PerChannel):
    """Batch normalisation, with the Scale and the ReLU that are fused with it."""

    own_scale: Any = None
    """Of a subclass whose layer scales and shifts by itself: its factors and shifts, as ``Fusion.scale``."""

    def choose(self) -> None:
        """The bottom's layout, else blocks of 16 channels."""
        layer, bottom = self.layer, self.bottoms[0]
        if not 2 <= len(bottom.shape) <= 5:
            raise Unsupported(f"{len(bottom.shape)} axes")
        if not layer.eps:
            raise Unsupported("eps 0 divides by 0 in the padding of a block")
        if self.own_scale is None and layer.syncs_statistics:
            raise Unsupported("statistics of all processes' batches")
        self.eps, self.running = layer.eps, layer.uses_running_statistics
        self.scale = self.own_scale if self.fusion.scale is None else self.fusion.scale
        self.parts = self.build.parts.get(bottom.synced_data, ())
        blocks = [MemoryDesc.tagged(bottom.shape, ACTIVATIONS[IMAGES])] if self.parts else []
        self.choose_among(*(blocks or self._layouts(bottom)))
        self.build.set_layout(self.tops[0], self.forward_desc.dst)
        self._seen: tuple[int, ...] = ()
        self._batch = self._batch_statistics()

    def _batch_statistics(self) -> BatchStatistics | None:
        """Kernels of our own for the batch's statistics, where there are some; only they compute a sum as well."""
        try:
            return BatchStatistics(self, self._update_statistics)
        except Unsupported:
            if self.fusion.residual is not None:
                raise
            return None

    def _layouts(self, bottom: Blob) -> list[MemoryDesc]:
        """The bottom's layout and blocks of 16 channels; blocks first where channels-last pixels do not fill vectors.

        There, oneDNN takes 2 to 30 times as long for the batch's statistics, and the conversion is worth it.
        """
        own = self.layout(bottom)
        if len(bottom.shape) not in ACTIVATIONS:
            return [own]
        blocked = MemoryDesc.tagged(bottom.shape, ACTIVATIONS[len(bottom.shape)], self.engine.type)
        uneven = bottom.shape[1] % BLOCK and not own.blocks and own.strides[1] == 1
        return [blocked, own] if uneven and not self.running else [own, blocked]

    def make_forward(self) -> Run:
        """One program for the batch's statistics, and for a bottom in parts."""
        if self._batch is not None:
            return self._batch.forward()
        if not self.parts:
            return super().make_forward()
        from ..parts_program import program  # needs llvmlite, which is not everywhere

        bottoms = [Operand(each.synced_data, MemoryDesc.tagged(each.shape, ACTIVATIONS[IMAGES])) for each in self.parts]
        top = Operand(self.tops[0].synced_data, self.forward_desc.dst)
        factors = Factors(self.layer, self.scale, self.bottoms[0].shape[1])
        threads, scratch = self.build.threads, self.build.scratch.floats
        run = partial(program, bottoms, top, factors, self.fusion.slope, threads=threads, scratch=scratch)
        return Execution(bottoms, [Beforehand(factors), Deferred(run)], [top])

    def make_backward(self) -> Run:
        """One program for the batch's statistics."""
        return self._batch.backward() if self._batch is not None else super().make_backward()

    def around(self, call: Invocation) -> list[Work]:
        """Running statistics are read before the primitive; the batch's are added to them after it."""
        return [Beforehand(self._read_statistics), call] if self.running else [call, self._update_statistics]

    def _read_statistics(self) -> None:
        """Take over the running statistics, if they have changed."""
        blobs = self.layer.blobs
        seen = tuple(blob.synced_data.version for blob in blobs)
        if seen == self._seen:
            return
        self.mean.flat[:], self.variance.flat[:] = self.layer.running_statistics()
        self._seen = seen

    def _update_statistics(self) -> None:
        """Add the batch's statistics to the running ones."""
        self.layer.update_running_statistics(self.mean.flat, self.variance.flat)
