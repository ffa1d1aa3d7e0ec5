"""Batch normalisation by oneDNN, with Scale and ReLU behind it in the same primitive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cafx.kernel import CafxError, Unsupported
from cafx.kernel.blob import SyncedArray

from .constants import Arg, Norm
from .memory import Memory, MemoryDesc
from .normalizing import batch_norm_backward, batch_norm_forward
from .operands import Operand
from .primitives import PrimitiveDesc
from .routine import Accelerated, Gradients, Pass, Run, pick
from .sliding import ACTIVATIONS


class BatchNorm(Accelerated):
    """y = unit(s (x − μ) / √(σ² + eps) + b).

    In place, the top gets memory of its own: backward needs what it would overwrite. Fused, ``scale``
    is the Scale layer behind it and ``unit`` says that a ReLU follows.
    """

    binds = True

    def plan(self) -> None:
        """The bottom's layout, else blocks."""
        layer, bottom, top = self.layer, self.step.bottom[0], self.step.top[0]
        if not 2 <= len(bottom.shape) <= 5:
            raise Unsupported(f"{len(bottom.shape)} axes")
        self.in_place = bottom is top
        self.scale: Any = self.fused.get("scale")
        self.keeps = self.training or not layer.running
        flags = Norm.GLOBAL_STATS if layer.running else Norm.NONE
        if self.scale is not None:
            flags |= Norm.SCALE | (Norm.SHIFT if len(self.scale.blobs) > 1 else Norm.NONE)
        self.flags = flags | (Norm.FUSE_RELU if self.fused.get("unit") else Norm.NONE)
        sources = [self.layout(bottom)]
        if len(bottom.shape) in ACTIVATIONS:
            sources.append(MemoryDesc.tagged(bottom.shape, ACTIVATIONS[len(bottom.shape)], self.engine.type))
        self.ahead = pick(*(lambda s=s: self._ahead(s) for s in sources))
        if self.training:
            self.back = pick(self._back)
        self.engine.settle(top, self.ahead.dst)
        channels = MemoryDesc.plain((bottom.shape[1],))
        self.mean, self.variance = Memory(channels), Memory(channels)
        self._seen: tuple[int, ...] = ()

    def _ahead(self, source: MemoryDesc) -> PrimitiveDesc:
        eps = self.layer.options.eps
        return batch_norm_forward(source, source, eps, self.flags, training=self.keeps)

    def _back(self) -> PrimitiveDesc:
        desc, eps = self.ahead.src, self.layer.options.eps
        return batch_norm_backward(desc, desc, desc, eps, self.flags, self.ahead)

    def _statistics(self) -> dict[int, Memory]:
        return {Arg.MEAN: self.mean, Arg.VARIANCE: self.variance}

    def _learned(self) -> dict[int, Operand]:
        """Scale and shift."""
        if self.scale is None:
            return {}
        names = (Arg.SCALE, Arg.SHIFT)
        return {
            arg: Operand(blob.synced_data, MemoryDesc.plain((blob.count_,)))
            for arg, blob in zip(names, self.scale.blobs, strict=False)
        }

    def _workspace(self) -> dict[int, Memory]:
        """Which values the unit let through."""
        return self.kept(Arg.WORKSPACE, self.ahead.workspace)

    def make_forward(self) -> Run:
        """One primitive, before it the running statistics or after it their update."""
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
        runs: list[Run] = [self._recall, call] if self.layer.running else [call, self._remember]
        return Pass([x, *learned.values()], runs, [y])

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
            for arg, blob, wants in zip((Arg.DIFF_SCALE, Arg.DIFF_SHIFT), self.scale.blobs, wanted, strict=False):
                desc = MemoryDesc.plain((blob.count_,))
                if wants:
                    targets[arg] = blob.synced_diff, desc
                else:
                    apart[arg] = self.engine.spare(-arg, desc)
        return targets, apart
