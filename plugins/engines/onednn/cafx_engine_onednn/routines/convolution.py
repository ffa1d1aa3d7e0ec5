"""Convolution by oneDNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cafx.kernel import Unsupported

from .. import native
from ..api.constants import Arg, DataType, Tag
from ..api.library import load
from ..api.memory import Memory, MemoryDesc
from ..api.primitives import PrimitiveDesc
from ..api.windowed import Window, convolution
from ..operands import Operand
from ..routine import Run, pick
from ..routines.weighted import Bytes, Weighted
from ..winograd.matrices import FORWARD

if TYPE_CHECKING:
    from ..winograd.convolution import WinogradConvolution

BLOCK = 16
FEW_CHANNELS = 4
"""Up to so many channels an image is best read as it is, row by row."""

ACTIVATIONS = {3: Tag.X1_16B, 4: Tag.X2_16B, 5: Tag.X3_16B}
WEIGHTS = {3: Tag.W1_16I16O, 4: Tag.W2_16I16O, 5: Tag.W3_16I16O}
Layouts = tuple[MemoryDesc, MemoryDesc, MemoryDesc]


class Convolution(Weighted):
    """Convolution of one to three spatial axes, with groups, dilation and a fused unit.

    Attributes:
        tiles: computes it by Winograd's tiles where that is faster.
    """

    tiles: WinogradConvolution | None = None

    def plan(self) -> None:
        """Choose layouts by the number of channels; blocks of 16 where channels fill them."""
        self.check()
        layer, step = self.layer, self.step
        self.source, self.made = step.bottom[0].shape, step.top[0].shape
        self.kernel_dims = self.grouped()
        self.window = self.geometry()
        self.tiles = self._tiles()
        candidates = list(self._candidates())
        uneven = any(count // layer.options.group % BLOCK for count in (self.source[1], self.made[1]))
        self.prefer = "jit:" if uneven else ""
        self.ahead = pick(*(lambda c=c: self._forward_desc(*c) for c in candidates))
        if self.addend and (self.tiles or self.ahead.dst != self.layout(self.addend)):
            raise Unsupported("a sum with another layout, or by tiles")
        self.engine.settle(self.result, self.ahead.dst)
        if any(self.learns):
            self.weights_back = self._weights_back()
        if self.training and step.propagate_down[0]:
            self.data_back = self._data_back()
        if self.tiles and not self._blocked():
            self.tiles = None
        step.note = "Winograd's tiles" if self.tiles else ""
        self.settle_weights()

    def _tiles(self) -> WinogradConvolution | None:
        """Winograd's way, where it is a way and a shorter one."""
        window, group, (taps, *others) = self.window, self.layer.options.group, self.layer.window.kernel
        if others != [taps] or taps not in FORWARD or (self.engine.type == DataType.BF16 and load().has_amx):
            return None
        if {*window.stride, *window.dilation} != {1} or max(window.pad) >= taps:
            return None
        if native.unavailable():
            return None
        from ..winograd.convolution import WinogradConvolution  # needs llvmlite, which is not everywhere

        if not WinogradConvolution.fits(self.source[1] // group, self.made[1] // group, group):
            return None
        tiles = WinogradConvolution(
            self.source,
            self.made,
            taps,
            window.pad,
            group,
            threads=self.engine.threads,
            bfloat16=self.engine.type == DataType.BF16,
            scratch=self._scratch,
        )
        return tiles if tiles.is_faster(training=self.training) else None

    def _scratch(self, name: str, count: int) -> Memory:
        return self.engine.spare(name, MemoryDesc.plain((count,)))

    def _blocked(self) -> bool:
        """Whether all primitives read and write blocks of 16 channels."""
        pairs = [(self.ahead.src, self.ahead.dst)]
        pairs += [(back.diff_src, back.diff_dst) for back in (self.data_back,) if back]
        pairs += [(back.src, back.diff_dst) for back in (self.weights_back,) if back]
        blocks = [MemoryDesc.tagged(shape, ACTIVATIONS[4], self.engine.type) for shape in (self.source, self.made)]
        return all(pair[0] == blocks[0] and pair[1] == blocks[1] for pair in pairs)

    @property
    def home(self) -> MemoryDesc:
        """The layout of the weights."""
        return self.tiles.weights if self.tiles else super().home

    @property
    def weights_ahead(self) -> MemoryDesc:
        """The layout in which forward reads them."""
        return self.tiles.weights if self.tiles else super().weights_ahead

    def forward_calls(
        self, x: Operand, weights: Bytes, bias: Bytes | None, y: Operand, *more: Operand
    ) -> Sequence[Run]:
        """What computes y."""
        if self.tiles:
            return [self.tiles.forward(x, weights, bias, y, self.slope).bind()]
        return super().forward_calls(x, weights, bias, y, *more)

    def data_calls(self, back: PrimitiveDesc, dy: Operand, dx: Operand) -> tuple[Operand, Sequence[Run]]:
        """The weights to be read, and what computes dx."""
        if self.tiles:
            weights = self.weights(self.tiles.weights)
            return weights, [self.tiles.backward_data(dy, weights, dx).bind()]
        return super().data_calls(back, dy, dx)

    def weights_calls(self, back: PrimitiveDesc, x: Operand, dy: Operand, to: Mapping[int, Any]) -> Sequence[Run]:
        """What computes the gradients of weights and bias."""
        if self.tiles:
            return [self.tiles.backward_weights(x, dy, to.get(Arg.DIFF_WEIGHTS), to.get(Arg.DIFF_BIAS)).bind()]
        return super().weights_calls(back, x, dy, to)

    def check(self) -> None:
        """Refuse what oneDNN has no primitive for."""
        layer, axes = self.layer, len(self.layer.window.kernel)
        if len(self.step.bottom) > 1:
            raise Unsupported("several bottoms")
        if layer.channel_axis != 1 or not 1 <= axes <= 3:
            raise Unsupported(f"{axes} spatial axes behind axis {layer.channel_axis}")
        if 0 in layer.window.dilation:
            raise Unsupported("dilation 0")

    def grouped(self) -> tuple[int, ...]:
        """The weights' axes, those of the groups first."""
        outputs, inputs, *kernel = self.layer.blobs[0].shape
        group = self.layer.options.group
        return (group, outputs // group, inputs, *kernel) if group > 1 else (outputs, inputs, *kernel)

    def geometry(self) -> Window:
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
        if self.tiles:
            source_16, result_16 = (
                MemoryDesc.tagged(shape, ACTIVATIONS[4], kind) for shape in (self.source, self.made)
            )
            yield source_16, weights, result_16
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
