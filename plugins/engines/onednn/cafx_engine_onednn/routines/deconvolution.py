"""Deconvolution: a convolution's primitives with its top and bottom exchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.blob import SyncedArray

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.pointwise import binary, reduction
from ..api.primitives import PrimitiveDesc
from ..api.products import matmul
from ..api.windowed import convolution
from ..execution import Execution, InOrder, Run, Work
from ..layouts import is_row_major
from ..operands import Bindable, Operand
from ..routine import UNFUSED, Gradients, pick
from .convolution import Convolution

SPARSE = 256
"""From this many positions of the top per position of the bottom a product and a scatter are fastest."""
Layouts = tuple[MemoryDesc, MemoryDesc]


class Deconvolution(Convolution):
    """Forward is a convolution's backward_data, backward its forward, with the same weights.

    Layouts are channels last, but row-major where the stride is large.
    """

    def choose(self) -> None:
        """The three primitives of the convolution whose bottom is this top."""
        if self.fusion is not UNFUSED:
            raise Unsupported("nothing is fused with it")
        self.check()
        bottom, top = self.bottoms[0], self.tops[0]
        self.source_shape, self.result_shape = top.shape, bottom.shape  # the convolution's
        self.weight_dims, self.window = self.grouped(), self.geometry()
        layouts, learning = self._layouts()
        self.forward_desc = pick(*(lambda s=s, m=m: self._scatter(s, m) for s, m in layouts))
        self.build.set_layout(top, self.forward_desc.diff_src)
        if self.has_bias:
            self.shift = pick(self._shift)
        if self.learns[0]:
            self.backward_weights = pick(*(lambda s=s, m=m: self._learn(s, m) for s, m in learning), prefer="jit:")
        if self.training and self.propagate_down[0]:
            self.backward_data = pick(lambda: self._hint_for(self.forward_desc.diff_src, self.forward_desc.diff_dst))
        self.prefer_weights_layout()

    def _layouts(self) -> tuple[list[Layouts], list[Layouts]]:
        """Layouts of top and bottom, the best first; and the same for the weights' gradient."""
        kind, shapes = self.engine.type, (self.source_shape, self.result_shape)
        last, plain, free = (
            (make(shapes[0], kind), make(shapes[1], kind))
            for make in (MemoryDesc.channels_last, MemoryDesc.plain, MemoryDesc.any)
        )
        depthwise = self.weight_dims[-len(self.window.stride) - 2 :][:2] == (1, 1)
        if depthwise:
            return [last, plain, free], [plain, last, free]
        sparse = math.prod(self.window.stride) >= SPARSE
        both = [plain, last, free] if sparse else [last, plain, free]
        return both, both

    def _hint_for(self, source: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
        weights = MemoryDesc.any(self.weight_dims, self.engine.type)
        return convolution.forward(source, weights, None, result, self.window)

    def _scatter(self, source: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
        hint = self._hint_for(source, result)
        weights = MemoryDesc.any(self.weight_dims, self.engine.type)
        return convolution.backward_data(source, weights, result, self.window, hint)

    def _learn(self, source: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
        hint, weights = self._hint_for(source, result), MemoryDesc.any(self.weight_dims)
        return convolution.backward_weights(source, weights, None, result, self.window, hint)

    def _shift(self) -> PrimitiveDesc:
        """The bias added to the top."""
        top, bias = self.forward_desc.diff_src, self._bias_along_channels()
        return binary(Alg.BINARY_ADD, top, bias, top)

    def _bias_along_channels(self) -> MemoryDesc:
        """The bias with the top's axes."""
        _, channels, *spatial = self.source_shape
        return MemoryDesc.plain((1, channels, *(1 for _ in spatial)))

    def make_forward(self) -> Run:
        """One primitive, and one for the bias."""
        desc, blobs = self.forward_desc, self.layer.blobs
        x = Operand(self.bottoms[0].synced_data, desc.diff_dst)
        y = Operand(self.tops[0].synced_data, desc.diff_src)
        weights = self.weights(desc.weights)
        reads, calls = [x, weights], [self.call(desc, {Arg.DIFF_DST: x, Arg.WEIGHTS: weights, Arg.DIFF_SRC: y})]
        if self.has_bias:
            bias = Operand(blobs[1].synced_data, self._bias_along_channels())
            calls.append(self.call(self.shift, {Arg.SRC: y, Arg.SRC_1: bias, Arg.DST: y}))
            reads.append(bias)
        return Execution(reads, calls, [y])

    def make_backward(self) -> Run:
        """The parameters' gradients, then the bottom's."""
        runs: list[Run] = []
        if any(self.learns):
            runs.append(self._gradients())
        if self.backward_data is not None:
            desc = self.backward_data
            dy = Operand(self.tops[0].synced_diff, desc.src)
            dx = Operand(self.bottoms[0].synced_diff, desc.dst)
            weights, reordered, calls = self.reordered_weights(desc.weights)
            calls.append(self.call(desc, {Arg.SRC: dy, Arg.WEIGHTS: reordered, Arg.DST: dx}))
            runs.append(Execution([dy, weights], calls, [dx]))
        return InOrder(runs)

    def _gradients(self) -> Run:
        blobs, desc = self.layer.blobs, self.backward_weights
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        reads: list[Operand] = []
        arguments: dict[int, Bindable] = {}
        if desc is not None:
            x = Operand(self.bottoms[0].synced_data, desc.diff_dst)
            dy = Operand(self.tops[0].synced_diff, desc.src)
            targets[Arg.DIFF_WEIGHTS] = blobs[0].synced_diff, desc.diff_weights
            reads, arguments = [x, dy], {Arg.DIFF_DST: x, Arg.SRC: dy}
        if self.learns[1]:
            summed = Operand(self.tops[0].synced_diff, self.forward_desc.diff_src)
            targets[Arg.DIFF_BIAS] = blobs[1].synced_diff, MemoryDesc.plain((1, self.source_shape[1]))
            reads.append(summed)

        def calls(gradients: Mapping[int, Bindable]) -> list[Work]:
            work: list[Work] = []
            if desc is not None:
                work.append(self.call(desc, {**arguments, Arg.DIFF_WEIGHTS: gradients[Arg.DIFF_WEIGHTS]}))
            if self.learns[1]:
                work += self._sum(summed, gradients[Arg.DIFF_BIAS])
            return work

        return Gradients(self, targets, calls, reads)

    def _sum(self, dy: Operand, into: Bindable) -> list[Work]:
        """The top's gradient summed over images and positions: as a product, or image by image."""
        count, channels, *spatial = self.source_shape
        positions = math.prod(spatial)
        one_axis = 1 in (count, positions)  # oneDNN refuses a reduction over axes of length 1
        if one_axis or not is_row_major(dy.desc):
            ones = Memory(MemoryDesc.plain((1, count * positions)), np.ones(count * positions, np.float32))
            strides = (1, positions) if is_row_major(dy.desc) and positions > 1 else (channels, 1)
            rows = MemoryDesc.strided((count * positions, channels), strides, self.engine.type)
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
