"""Convolution by oneDNN."""

from __future__ import annotations

from collections.abc import Iterator

from cafx.kernel import Unsupported

from .constants import DataType, Tag
from .memory import MemoryDesc
from .primitives import PrimitiveDesc
from .routine import pick
from .weighted import Weighted
from .windowed import Window, convolution

BLOCK = 16
FEW_CHANNELS = 4
"""Up to so many channels an image is best read as it is, row by row."""

ACTIVATIONS = {3: Tag.X1_16B, 4: Tag.X2_16B, 5: Tag.X3_16B}
WEIGHTS = {3: Tag.W1_16I16O, 4: Tag.W2_16I16O, 5: Tag.W3_16I16O}
Layouts = tuple[MemoryDesc, MemoryDesc, MemoryDesc]


class Convolution(Weighted):
    """Convolution of one to three spatial axes, with groups, dilation and a fused unit."""

    def plan(self) -> None:
        """Choose layouts by the number of channels; blocks of 16 where channels fill them."""
        layer, step = self.layer, self.step
        if len(step.bottom) > 1:
            raise Unsupported("several bottoms")
        axes = len(layer.window.kernel)
        if layer.channel_axis != 1 or not 1 <= axes <= 3:
            raise Unsupported(f"{axes} spatial axes behind axis {layer.channel_axis}")
        if 0 in layer.window.dilation:
            raise Unsupported("dilation 0")
        self.source, self.made = step.bottom[0].shape, step.top[0].shape
        self.kernel_dims = self._kernel_dims()
        self.window = self._window()
        candidates = list(self._candidates())
        uneven = any(count // layer.options.group % BLOCK for count in (self.source[1], self.made[1]))
        self.prefer = "jit:" if uneven else ""
        self.ahead = pick(*(lambda c=c: self._forward_desc(*c) for c in candidates))
        self.engine.settle(step.top[0], self.ahead.dst)
        if any(self.learns):
            self.weights_back = self._weights_back()
        if self.training and step.propagate_down[0]:
            self.data_back = self._data_back()
        self.settle_weights()

    def _kernel_dims(self) -> tuple[int, ...]:
        outputs, inputs, *kernel = self.layer.blobs[0].shape
        group = self.layer.options.group
        return (group, outputs // group, inputs, *kernel) if group > 1 else (outputs, inputs, *kernel)

    def _window(self) -> Window:
        """The geometry; what the window leaves unread at the end is a negative pad."""
        window = self.layer.window
        axes = zip(self.made[2:], window.stride, window.extent, self.source[2:], window.pad, strict=True)
        ends = tuple((o - 1) * s + e - i - p for o, s, e, i, p in axes)
        return Window(window.stride, window.pad, ends, window.dilation)

    def _candidates(self) -> Iterator[Layouts]:
        """Layouts of source, weights and result, best first."""
        kind, rank = self.engine.type, len(self.source)
        source, result = MemoryDesc.any(self.source, kind), MemoryDesc.any(self.made, kind)
        weights = MemoryDesc.any(self.kernel_dims, kind)
        group = self.layer.options.group
        inputs, outputs = self.source[1] // group, self.made[1] // group
        depthwise = inputs == outputs == 1
        pinned = self.pinned(self.kernel_dims)
        if self.source[1] <= FEW_CHANNELS and group == 1:
            plain = MemoryDesc.plain(self.source, kind)
            blocked = MemoryDesc.tagged(self.made, ACTIVATIONS[rank], kind)
            if pinned and kind == DataType.F32:
                yield plain, pinned, blocked
            yield plain, weights, blocked
        elif not depthwise and (inputs % BLOCK or outputs % BLOCK):
            last = MemoryDesc.channels_last(self.source, kind), MemoryDesc.channels_last(self.made, kind)
            if group == 1 and kind == DataType.F32:
                yield last[0], MemoryDesc.tagged(self.kernel_dims, WEIGHTS[rank], kind), last[1]
            yield last[0], weights, last[1]
        elif pinned and kind == DataType.F32:
            free = self._forward_desc(source, weights, result)
            try_pinned = self._forward_desc(source, pinned, result)
            if try_pinned.implementation == free.implementation:
                yield source, pinned, result
        yield source, weights, result

    def _forward_desc(self, source: MemoryDesc, weights: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
        bias = self.bias_desc(self.made[1])
        return convolution.forward(source, weights, bias, result, self.window, training=self.training, attr=self.attr)

    def _weights_back(self) -> PrimitiveDesc:
        ahead, kind = self.ahead, self.engine.type
        bias = self.bias_desc(self.made[1]) if self.learns[1] else None
        free = MemoryDesc.any(self.kernel_dims)
        pinned = ahead.weights if kind == DataType.F32 else free
        hint = self._hint()

        def make(source: MemoryDesc, weights: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
            return convolution.backward_weights(source, weights, bias, result, self.window, hint)

        return pick(
            lambda: make(ahead.src, pinned, ahead.dst),
            lambda: make(ahead.src, free, ahead.dst),
            lambda: make(MemoryDesc.any(self.source, kind), free, MemoryDesc.any(self.made, kind)),
        )

    def _data_back(self) -> PrimitiveDesc:
        ahead, kind, hint = self.ahead, self.engine.type, self._hint()
        weights = MemoryDesc.any(self.kernel_dims, kind)

        def make(source: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
            return convolution.backward_data(source, weights, result, self.window, hint)

        return pick(
            lambda: make(ahead.src, ahead.dst),
            lambda: make(MemoryDesc.any(self.source, kind), ahead.dst),
            lambda: make(MemoryDesc.any(self.source, kind), MemoryDesc.any(self.made, kind)),
            prefer=self.prefer,
        )

    def _hint(self) -> PrimitiveDesc:
        """The forward primitive the backward ones belong to."""
        return self.ahead
