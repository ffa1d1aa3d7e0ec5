"""Deconvolution by oneDNN: the passes of a convolution from its top to its bottom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.blob import SyncedArray

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.pointwise import binary, reduction
from ..api.primitives import PrimitiveDesc
from ..api.products import matmul
from ..api.windowed import convolution
from ..layouts import is_row_major
from ..operands import Operand
from ..routine import Gradients, Pass, Run, pick, several
from ..routines.convolution import Convolution

SPARSE = 256
"""Positions of the top for one of the bottom from which on a product and its scattering are fastest."""


Layouts = tuple[MemoryDesc, MemoryDesc]


class Deconvolution(Convolution):
    """Forward is the gradient of a convolution's bottom, backward its forward; weights as they are.

    Channels last, but row-major where the window moves in large steps.
    """

    def plan(self) -> None:
        """The three passes of the convolution whose bottom is this top."""
        if self.fused:
            raise Unsupported("nothing is fused with it")
        self.check()
        bottom, top = self.step.bottom[0], self.step.top[0]
        self.source, self.made = top.shape, bottom.shape  # the convolution's
        self.kernel_dims, self.window = self.grouped(), self.geometry()
        layouts, learning = self._layouts()
        self.ahead = pick(*(lambda s=s, m=m: self._scatter(s, m) for s, m in layouts))
        self.engine.settle(top, self.ahead.diff_src)
        if self.biased:
            self.shift = pick(self._shift)
        if self.learns[0]:
            self.weights_back = pick(*(lambda s=s, m=m: self._learn(s, m) for s, m in learning), prefer="jit:")
        if self.training and self.step.propagate_down[0]:
            self.data_back = pick(lambda: self._hint_for(self.ahead.diff_src, self.ahead.diff_dst))
        self.settle_weights()

    def _layouts(self) -> tuple[list[Layouts], list[Layouts]]:
        """Of top and bottom, best first; and the same for the weights' gradient."""
        kind, shapes = self.engine.type, (self.source, self.made)
        last, plain, free = (
            (make(shapes[0], kind), make(shapes[1], kind))
            for make in (MemoryDesc.channels_last, MemoryDesc.plain, MemoryDesc.any)
        )
        depthwise = self.kernel_dims[-len(self.window.stride) - 2 :][:2] == (1, 1)
        if depthwise:
            return [last, plain, free], [plain, last, free]
        sparse = math.prod(self.window.stride) >= SPARSE
        both = [plain, last, free] if sparse else [last, plain, free]
        return both, both

    def _hint_for(self, source: MemoryDesc, made: MemoryDesc) -> PrimitiveDesc:
        weights = MemoryDesc.any(self.kernel_dims, self.engine.type)
        return convolution.forward(source, weights, None, made, self.window)

    def _scatter(self, source: MemoryDesc, made: MemoryDesc) -> PrimitiveDesc:
        hint = self._hint_for(source, made)
        weights = MemoryDesc.any(self.kernel_dims, self.engine.type)
        return convolution.backward_data(source, weights, made, self.window, hint)

    def _learn(self, source: MemoryDesc, made: MemoryDesc) -> PrimitiveDesc:
        hint, weights = self._hint_for(source, made), MemoryDesc.any(self.kernel_dims)
        return convolution.backward_weights(source, weights, None, made, self.window, hint)

    def _shift(self) -> PrimitiveDesc:
        """The bias added to the top."""
        top, bias = self.ahead.diff_src, self._along_channels()
        return binary(Alg.BINARY_ADD, top, bias, top)

    def _along_channels(self) -> MemoryDesc:
        """The bias seen with the top's axes."""
        _, channels, *spatial = self.source
        return MemoryDesc.plain((1, channels, *(1 for _ in spatial)))

    def make_forward(self) -> Run:
        """One primitive, and one for the bias."""
        ahead, blobs = self.ahead, self.layer.blobs
        x = Operand(self.step.bottom[0].synced_data, ahead.diff_dst)
        y = Operand(self.step.top[0].synced_data, ahead.diff_src)
        weights = self.weights(ahead.weights)
        reads, calls = [x, weights], [self.call(ahead, {Arg.DIFF_DST: x, Arg.WEIGHTS: weights, Arg.DIFF_SRC: y})]
        if self.biased:
            bias = Operand(blobs[1].synced_data, self._along_channels())
            calls.append(self.call(self.shift, {Arg.SRC: y, Arg.SRC_1: bias, Arg.DST: y}))
            reads.append(bias)
        return Pass(reads, calls, [y])

    def make_backward(self) -> Run:
        """The parameters' gradients, then the bottom's."""
        passes: list[Run] = []
        if any(self.learns):
            passes.append(self._make_gradients())
        if self.data_back is not None:
            back = self.data_back
            dy = Operand(self.step.top[0].synced_diff, back.src)
            dx = Operand(self.step.bottom[0].synced_diff, back.dst)
            weights, turned, calls = self.turned(back.weights)
            calls.append(self.call(back, {Arg.SRC: dy, Arg.WEIGHTS: turned, Arg.DST: dx}))
            passes.append(Pass([dy, weights], calls, [dx]))
        return several(passes)

    def _make_gradients(self) -> Run:
        blobs, back = self.layer.blobs, self.weights_back
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        reads: list[Operand] = []
        given: dict[int, Operand | Memory] = {}
        if back is not None:
            x = Operand(self.step.bottom[0].synced_data, back.diff_dst)
            dy = Operand(self.step.top[0].synced_diff, back.src)
            targets[Arg.DIFF_WEIGHTS] = blobs[0].synced_diff, back.diff_weights
            reads, given = [x, dy], {Arg.DIFF_DST: x, Arg.SRC: dy}
        if self.learns[1]:
            summed = Operand(self.step.top[0].synced_diff, self.ahead.diff_src)
            targets[Arg.DIFF_BIAS] = blobs[1].synced_diff, MemoryDesc.plain((1, self.source[1]))
            reads.append(summed)

        def prepare(to: Mapping[int, Any]) -> list[Run]:
            calls: list[Run] = []
            if back is not None:
                calls.append(self.call(back, {**given, Arg.DIFF_WEIGHTS: to[Arg.DIFF_WEIGHTS]}))
            if self.learns[1]:
                calls += self._sum(summed, to[Arg.DIFF_BIAS])
            return calls

        return Gradients(self, targets).runs(prepare, reads)

    def _sum(self, dy: Operand, into: Operand | Memory) -> list[Run]:
        """The top's gradient added up over images and positions: as a product, or an image at a time."""
        count, channels, *spatial = self.source
        positions = math.prod(spatial)
        if not is_row_major(dy.desc):
            ones = Memory(MemoryDesc.plain((1, count * positions)), np.ones(count * positions, np.float32))
            rows = MemoryDesc.plain((count * positions, channels), self.engine.type)
            product = matmul(ones.desc, rows, None, MemoryDesc.plain((1, channels)))
            return [self.call(product, {Arg.SRC: ones, Arg.WEIGHTS: dy.window(rows), Arg.DST: into})]
        parts = MemoryDesc.plain((count, channels, positions)), MemoryDesc.plain((count, channels, 1))
        images = Memory(parts[1])
        rows, total = MemoryDesc.plain((count, channels)), MemoryDesc.plain((1, channels))
        first, second = reduction(Alg.REDUCTION_SUM, *parts), reduction(Alg.REDUCTION_SUM, rows, total)
        return [
            self.call(first, {Arg.SRC: dy.window(parts[0]), Arg.DST: images}),
            self.call(second, {Arg.SRC: Memory(rows, images.array), Arg.DST: into}),
        ]
