"""Batch normalisation by oneDNN, with Scale and ReLU behind it in the same primitive; and its base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cafx.kernel import CafxError, Unsupported
from cafx.kernel.blob import SyncedArray

from ..api.constants import Arg, Norm
from ..api.memory import Memory, MemoryDesc
from ..api.normalization import batch_norm_backward, batch_norm_forward
from ..api.primitives import PrimitiveDesc
from ..operands import Operand
from ..routine import Accelerated, Gradients, Pass, Run, pick
from ..routines.convolution import ACTIVATIONS

ARGS = {Norm.SCALE: (Arg.SCALE, Arg.DIFF_SCALE), Norm.SHIFT: (Arg.SHIFT, Arg.DIFF_SHIFT)}
"""Of what is learned: its values and its gradient."""


class PerChannel(Accelerated):
    """y = unit(s (x − μ) / √(σ² + eps) + b), with one μ, σ², s and b a channel.

    In place, the top gets memory of its own: backward needs what it would overwrite.

    Attributes:
        eps: of the formula.
        running: μ and σ² are given, not the batch's.
        scale: the layer whose parameters are learned, or None.
        learned: what each of them is.
    """

    binds = True

    eps: float = 0.0
    running = True
    scale: Any = None
    learned: tuple[Norm, ...] = (Norm.SCALE, Norm.SHIFT)

    def choose(self, *sources: MemoryDesc) -> None:
        """Primitives, for the first layout that has fast ones."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        self.in_place = bottom is top
        flags = Norm.GLOBAL_STATS if self.running else Norm.NONE
        for flag, _ in zip(self.learned, self.scale.blobs if self.scale is not None else (), strict=False):
            flags |= flag
        self.flags = flags | (Norm.FUSE_RELU if self.fused.get("unit") else Norm.NONE)
        self.keeps = self.training or not self.running
        self.ahead = pick(*(lambda s=s: self._ahead(s) for s in sources))
        if self.training:
            self.back = pick(self._back)
        channels = MemoryDesc.plain((self.ahead.src.dims[1],))
        self.mean, self.variance = Memory(channels), Memory(channels)

    def _ahead(self, source: MemoryDesc) -> PrimitiveDesc:
        return batch_norm_forward(source, source, self.eps, self.flags, training=self.keeps)

    def _back(self) -> PrimitiveDesc:
        desc = self.ahead.src
        return batch_norm_backward(desc, desc, desc, self.eps, self.flags, self.ahead)

    def _statistics(self) -> dict[int, Memory]:
        return {Arg.MEAN: self.mean, Arg.VARIANCE: self.variance}

    def _learned(self) -> dict[int, Operand]:
        """Scale and shift."""
        blobs = self.scale.blobs if self.scale is not None else ()
        return {
            ARGS[kind][0]: Operand(blob.synced_data, MemoryDesc.plain((blob.count_,)))
            for kind, blob in zip(self.learned, blobs, strict=False)
        }

    def _workspace(self) -> dict[int, Memory]:
        """Which values the unit let through."""
        return self.kept(Arg.WORKSPACE, self.ahead.workspace)

    def make_forward(self) -> Run:
        """One primitive, and around it what `around` says."""
        desc, bottom, top = self.ahead.src, self.step.bottom[0], self.step.top[0]
        apart = self.in_place and self.training
        x = self.held["x"] = Operand(bottom.synced_data, desc, pinned=apart)
        x.bind()
        y = Operand(top.synced_data, desc, own=apart)
        learned = self._learned()
        arguments: dict[int, Operand | Memory] = {
            Arg.SRC: x,
            Arg.DST: y,
            **self._statistics(),
            **learned,
            **self._workspace(),
        }
        call = self.call(self.ahead, arguments)
        return Pass([x, *learned.values()], self.around(call), [y])

    def around(self, call: Run) -> list[Run]:
        """The primitive, and what is done before and after it."""
        return [call]

    def make_backward(self) -> Run:
        """One primitive."""
        if "x" not in self.held:
            raise CafxError(
                "backward begins inside a fused step whose parts have not run forward",
                where=self.layer.where,
                remedy="run forward from or to the same layer, or begin behind the fused layers",
            )
        bottom, top, desc = self.step.bottom[0], self.step.top[0], self.ahead.src
        dy = Operand(top.synced_diff, desc)
        wanted = self.step.propagate_down[0]
        dx = self.own_diff(bottom, desc) if self.in_place else Operand(bottom.synced_diff, desc)
        x = self.held["x"] if self.in_place else Operand(bottom.synced_data, desc)
        learned = self._learned()
        learned.pop(Arg.SHIFT, None)
        given: dict[int, Operand | Memory] = {
            Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx if wanted else self.engine.spare(-Arg.SRC, desc),
            **self._statistics(), **learned, **self._workspace(),
        }  # fmt: skip
        reads = [dy, *learned.values()] if self.in_place else [x, dy, *learned.values()]
        targets, apart = self._targets()
        results = [dx] if wanted else []

        def prepare(to: Mapping[int, Any]) -> list[Run]:
            return [self.call(self.back, {**given, **apart, **to})]

        if not targets:
            return Pass(reads, prepare({}), results)
        run = Gradients(self, targets).runs(prepare, reads)
        done = Pass([], [], results)

        def both() -> None:
            run()
            done()

        for each in results:
            each.bind()
        return both

    def _targets(self) -> tuple[dict[int, tuple[SyncedArray, MemoryDesc]], dict[int, Memory]]:
        """Where the gradients of scale and shift go, and the memory of those nobody wants."""
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        apart: dict[int, Memory] = {}
        if self.scale is not None:
            wanted = self.scale.param_propagate_down
            for kind, blob, wants in zip(self.learned, self.scale.blobs, wanted, strict=False):
                arg, desc = ARGS[kind][1], MemoryDesc.plain((blob.count_,))
                if wants:
                    targets[arg] = blob.synced_diff, desc
                else:
                    apart[arg] = self.engine.spare(-arg, desc)
        return targets, apart


class BatchNorm(PerChannel):
    """Batch normalisation. Fused, ``scale`` is the Scale layer behind it and ``unit`` says that a ReLU follows."""

    def plan(self) -> None:
        """The bottom's layout, else blocks."""
        layer, bottom = self.layer, self.step.bottom[0]
        if not 2 <= len(bottom.shape) <= 5:
            raise Unsupported(f"{len(bottom.shape)} axes")
        if not layer.options.eps:
            raise Unsupported("eps 0 divides by 0 in what fills up a block")
        self.eps, self.running, self.scale = layer.options.eps, layer.uses_running_statistics, self.fused.get("scale")
        sources = [self.layout(bottom)]
        if len(bottom.shape) in ACTIVATIONS:
            sources.append(MemoryDesc.tagged(bottom.shape, ACTIVATIONS[len(bottom.shape)], self.engine.type))
        self.choose(*sources)
        self.engine.settle(self.step.top[0], self.ahead.dst)
        self._seen: tuple[int, ...] = ()

    def around(self, call: Run) -> list[Run]:
        """Before it the running statistics, or after it their update."""
        return [self._recall, call] if self.running else [call, self._remember]

    def _recall(self) -> None:
        """The running statistics: their sums over the sum of weights."""
        blobs = self.layer.blobs
        seen = tuple(blob.synced_data.version for blob in blobs)
        if seen == self._seen:
            return
        total = float(blobs[2].data[0])
        factor = np.float32(1 / total if total else 0.0)
        np.multiply(blobs[0].data, factor, out=self.mean.flat)
        np.multiply(blobs[1].data, factor, out=self.variance.flat)
        self._seen = seen

    def _remember(self) -> None:
        """Add the batch's statistics, the variance without bias, to the decayed sums."""
        blobs, fraction = self.layer.blobs, self.layer.options.moving_average_fraction
        count = self.step.bottom[0].count_ // blobs[0].count_
        correction = np.float32(count / (count - 1) if count > 1 else 1.0)
        news = (self.mean.flat, self.variance.flat * correction, np.float32(1))
        for blob, new in zip(blobs, news, strict=True):
            total = blob.mutable_data
            total *= fraction
            total += new
