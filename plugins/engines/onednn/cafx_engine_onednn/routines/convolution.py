"""Convolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cafx.kernel import Unsupported

from .. import native
from ..api.attributes import Attr
from ..api.constants import Arg, DataType, Tag
from ..api.library import load
from ..api.memory import MemoryDesc
from ..api.pointwise import reorder
from ..api.primitives import PrimitiveDesc
from ..api.windowed import Window, convolution
from ..exact import Checked
from ..execution import Deferred, Work
from ..operands import Bindable, Operand
from ..routine import pick
from ..winograd.matrices import FORWARD
from .grouped import GroupedProducts
from .weighted import Weighted

if TYPE_CHECKING:
    from ..winograd.convolution import WinogradConvolution

BLOCK = 16
IMAGES = 4
"""Axes of a batch of images."""
MOST_PADDING = 1.4
"""How many times the work blocks may be before channels last are faster."""
FEW_CHANNELS = 4
"""With at most this many channels an image is best read row-major."""

ACTIVATIONS = {3: Tag.X1_16B, 4: Tag.X2_16B, 5: Tag.X3_16B}
WEIGHTS = {3: Tag.W1_16I16O, 4: Tag.W2_16I16O, 5: Tag.W3_16I16O}
Layouts = tuple[MemoryDesc, MemoryDesc, MemoryDesc]


class Convolution(Weighted):
    """Convolution over one to three spatial axes, with groups and dilation.

    Attributes:
        winograd: computes it by Winograd's algorithm, where that is faster.
        products: computes it by matrix products, where that is faster.
    """

    winograd: WinogradConvolution | None = None
    products: GroupedProducts | None = None

    def choose(self) -> None:
        """Choose layouts by the number of channels; blocks of 16 where channels fill them."""
        self.check()
        self.source_shape, self.result_shape = self.bottoms[0].shape, self.tops[0].shape
        self.weight_dims = self.grouped()
        self.window = self.geometry()
        self.winograd, self.products = self._winograd(), self._products()
        candidates = list(self._candidates())
        self.prefer = "jit:" if self._uneven else ""
        self.forward_desc = pick(*(lambda c=c: self._forward_desc(*c) for c in candidates))
        residual = self.fusion.residual
        if residual and (self.winograd or self.forward_desc.dst != self.layout(residual.addend)):
            raise Unsupported("a sum in another layout, or by Winograd's algorithm")
        if self.fusion.slopes and self.winograd:
            raise Unsupported("slopes per channel by Winograd's algorithm")
        self.build.set_layout(self.result, self.forward_desc.dst)
        if any(self.learns):
            self.backward_weights = self._backward_weights()
        if self.training and self.propagate_down[0]:
            self.backward_data = self._backward_data()
        if self.winograd and not self._in_layouts(*self._blocks()):
            self.winograd = None
        if self.products and not self._in_layouts(self.products.source, self.products.result):
            self.products = None
        self.note = "Winograd" if self.winograd else "products" if self.products else ""
        self.prefer_weights_layout()

    def _winograd(self) -> WinogradConvolution | None:
        """Winograd's algorithm, where it applies and is faster."""
        window, group, (taps, *others) = self.window, self.layer.options.group, self.layer.window.kernel
        if others != [taps] or taps not in FORWARD or (self.engine.type == DataType.BF16 and load().has_amx):
            return None
        if {*window.stride, *window.dilation} != {1} or max(window.pad) >= taps:
            return None
        if native.unavailable():
            return None
        from ..winograd.convolution import WinogradConvolution  # needs llvmlite, which is not everywhere

        if not WinogradConvolution.fits(self.source_shape[1] // group, self.result_shape[1] // group, group):
            return None
        winograd = WinogradConvolution(
            self.source_shape,
            self.result_shape,
            taps,
            window.pad,
            group,
            threads=self.build.threads,
            bfloat16=self.engine.type == DataType.BF16,
            scratch=self.build.scratch.floats,
            keep=None if self.build.plan.has_backward else self.build.keep,
        )
        return winograd if winograd.is_faster(training=self.training) else None

    def _products(self) -> GroupedProducts | None:
        """Products of pixels, for 1×1 kernels in groups."""
        window, fusion, fits = (
            self.window,
            self.fusion,
            GroupedProducts.fits(self.weight_dims, self.layer.options.group),
        )
        if not fits or {*window.stride} != {1} or any(window.pad) or self.engine.type != DataType.F32:
            return None
        if self.has_bias or fusion.slope is not None or fusion.slopes or fusion.residual:
            return None
        return GroupedProducts(self, self.source_shape, self.result_shape, self.weight_dims)

    def _blocks(self) -> tuple[MemoryDesc, MemoryDesc]:
        """Source and result in blocks of 16 channels."""
        source, result = (
            MemoryDesc.tagged(shape, ACTIVATIONS[4], self.engine.type)
            for shape in (self.source_shape, self.result_shape)
        )
        return source, result

    def _in_layouts(self, source: MemoryDesc, result: MemoryDesc) -> bool:
        """Whether all primitives read and write these layouts."""
        pairs = [(self.forward_desc.src, self.forward_desc.dst)]
        pairs += [(back.diff_src, back.diff_dst) for back in (self.backward_data,) if back]
        pairs += [(back.src, back.diff_dst) for back in (self.backward_weights,) if back]
        return all(pair[0] == source and pair[1] == result for pair in pairs)

    @property
    def weights_layout(self) -> MemoryDesc:
        """The layout of the weights."""
        other = self.winograd or self.products
        return other.weights if other else super().weights_layout

    @property
    def forward_weights(self) -> MemoryDesc:
        """The layout in which forward reads the weights."""
        other = self.winograd or self.products
        return other.weights if other else super().forward_weights

    def forward_calls(
        self, x: Operand, weights: Bindable, bias: Bindable | None, y: Operand, *addends: Operand
    ) -> Sequence[Work]:
        """What computes y."""
        if self.winograd:
            tasks = partial(self.winograd.forward, x, weights, bias, y, self.fusion.slope)
            return [self._checked(tasks, partial(self.exact_forward, x, weights, bias, y, *addends))]
        if self.products:
            return [self.products.forward(x, weights, y)]
        return super().forward_calls(x, weights, bias, y, *addends)

    def data_calls(self, desc: PrimitiveDesc, dy: Operand, dx: Operand) -> tuple[Operand, Sequence[Work]]:
        """The weights to be read, and what computes dx."""
        if self.winograd:
            weights = self.weights(self.winograd.weights)
            tasks = partial(self.winograd.backward_data, dy, weights, dx)
            return weights, [self._checked(tasks, partial(self._exact_data, desc, dy, weights, dx))]
        if self.products:
            weights = self.weights(self.products.weights)
            return weights, [self.products.data(dy, weights, dx)]
        return super().data_calls(desc, dy, dx)

    def weights_calls(
        self, desc: PrimitiveDesc, x: Operand, dy: Operand, targets: Mapping[int, Bindable]
    ) -> Sequence[Work]:
        """What computes the gradients of weights and bias."""
        if self.products:
            return [self.products.gradient(x, dy, targets[Arg.DIFF_WEIGHTS])]
        if self.winograd:
            gradients = targets.get(Arg.DIFF_WEIGHTS), targets.get(Arg.DIFF_BIAS)
            tasks = partial(self.winograd.backward_weights, x, dy, *gradients)
            return [self._checked(tasks, partial(self._exact_weights, desc, x, dy, targets))]
        return super().weights_calls(desc, x, dy, targets)

    def _checked(self, tasks: Callable[[], Any], exact: Callable[[], list[Work]]) -> Deferred:
        """Winograd's algorithm, which spreads what is not finite over a tile, and direct convolution where it is."""
        return Deferred(lambda: Checked(tasks(), exact))

    def _exact_data(self, desc: PrimitiveDesc, dy: Operand, weights: Bindable, dx: Operand) -> list[Work]:
        reordered, work = self.converted(weights, desc.weights)
        arguments: dict[int, Bindable] = {Arg.DIFF_DST: dy, Arg.WEIGHTS: reordered, Arg.DIFF_SRC: dx}
        return [*work, self.call(desc, arguments)]

    def _exact_weights(
        self, desc: PrimitiveDesc, x: Operand, dy: Operand, targets: Mapping[int, Bindable]
    ) -> list[Work]:
        direct = self.build.scratch("direct weights gradient", desc.diff_weights)
        arguments: dict[int, Bindable] = {Arg.SRC: x, Arg.DIFF_DST: dy, Arg.DIFF_WEIGHTS: direct}
        bias = desc.argument(Arg.DIFF_BIAS)
        if bias.size:
            arguments[Arg.DIFF_BIAS] = targets.get(Arg.DIFF_BIAS) or self.unneeded(Arg.DIFF_BIAS, bias)
        work: list[Work] = [self.call(desc, arguments)]
        if Arg.DIFF_WEIGHTS in targets:
            target = targets[Arg.DIFF_WEIGHTS]
            work.append(self.call(reorder(direct.desc, target.desc), {Arg.SRC: direct, Arg.DST: target}))
        return work

    def check(self) -> None:
        """Refuse what oneDNN has no primitive for."""
        layer, axes = self.layer, len(self.layer.window.kernel)
        if len(self.bottoms) > 1:
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
        """The geometry; what the window leaves unread at the end is negative padding."""
        window = self.layer.window
        axes = zip(self.result_shape[2:], window.stride, window.extent, self.source_shape[2:], window.pad, strict=True)
        ends = tuple((o - 1) * s + e - i - p for o, s, e, i, p in axes)
        return Window(window.stride, window.pad, ends, window.dilation)

    def _candidates(self) -> Iterator[Layouts]:
        """Layouts of source, weights and result, the best first."""
        kind, rank = self.engine.type, len(self.source_shape)
        source, result = MemoryDesc.any(self.source_shape, kind), MemoryDesc.any(self.result_shape, kind)
        weights = MemoryDesc.any(self.weight_dims, kind)
        kept = self.kept_layout(self.weight_dims) if kind == DataType.F32 else None
        if self.winograd:
            yield self._blocks()[0], weights, self._blocks()[1]
        if self.source_shape[1] <= FEW_CHANNELS and self.layer.options.group == 1:
            plain = MemoryDesc.plain(self.source_shape, kind)
            blocked = MemoryDesc.tagged(self.result_shape, ACTIVATIONS[rank], kind)
            if kept:
                yield plain, kept, blocked
            yield plain, weights, blocked
        elif self._prefers_pixels:
            last = MemoryDesc.channels_last(self.source_shape, kind), MemoryDesc.channels_last(self.result_shape, kind)
            if self.layer.options.group == 1 and kind == DataType.F32:
                yield last[0], MemoryDesc.tagged(self.weight_dims, WEIGHTS[rank], kind), last[1]
            yield last[0], weights, last[1]
        else:
            first = self._blocks() if self._prefers_blocks else (source, result)
            if kept:
                free, same = (self._forward_desc(first[0], layout, first[1]) for layout in (weights, kept))
                if same.implementation == free.implementation:
                    yield first[0], kept, first[1]
            yield first[0], weights, first[1]
        yield source, weights, result

    @property
    def _uneven(self) -> bool:
        """Whether the channels of a group do not fill blocks."""
        group = self.layer.options.group
        return any(shape[1] // group % BLOCK for shape in (self.source_shape, self.result_shape))

    @property
    def _padding(self) -> float:
        """How many times as much work blocks are, since they are padded."""
        counts = [shape[1] for shape in (self.source_shape, self.result_shape)]
        return math.prod(-(-count // BLOCK) * BLOCK / count for count in counts)

    @property
    def _depthwise(self) -> bool:
        return self.source_shape[1] == self.result_shape[1] == self.layer.options.group

    @property
    def _prefers_blocks(self) -> bool:
        """Whether blocks are fastest though oneDNN would choose channels last: in inference.

        Winograd's algorithm and pooling are in blocks, and conversions take time.
        """
        if self.training or self.products or self.engine.type != DataType.F32 or len(self.source_shape) != IMAGES:
            return False
        own = self.build.layout_of(self.bottoms[0])
        pixels = own is not None and not own.blocks
        return self._depthwise and not pixels if self.layer.options.group > 1 else self._padding <= MOST_PADDING

    @property
    def _prefers_pixels(self) -> bool:
        """Whether channels last are fastest."""
        uneven = self._uneven and not self._depthwise and not self._prefers_blocks
        return self.products is not None or uneven

    def _forward_desc(
        self, source: MemoryDesc, weights: MemoryDesc, result: MemoryDesc, attr: Attr | None = None
    ) -> PrimitiveDesc:
        bias, attr = self.bias_desc(self.result_shape[1]), self.attr() if attr is None else attr
        return convolution.forward(source, weights, bias, result, self.window, training=self.training, attr=attr)

    def unfused_desc(self, attr: Attr) -> PrimitiveDesc:
        """The forward primitive with other post-ops, for the same layouts."""
        desc = self.forward_desc
        return self._forward_desc(desc.src, desc.weights, desc.dst, attr)

    def _backward_weights(self) -> PrimitiveDesc:
        forward, kind = self.forward_desc, self.engine.type
        bias = self.bias_desc(self.result_shape[1]) if self.learns[1] else None
        free = MemoryDesc.any(self.weight_dims)
        same = forward.weights if kind == DataType.F32 else free
        source, result = MemoryDesc.any(self.source_shape, kind), MemoryDesc.any(self.result_shape, kind)

        def desc(source: MemoryDesc, weights: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
            return convolution.backward_weights(source, weights, bias, result, self.window, forward)

        return pick(
            lambda: desc(forward.src, same, forward.dst),
            lambda: desc(forward.src, free, forward.dst),
            lambda: desc(source, free, result),
        )

    def _backward_data(self) -> PrimitiveDesc:
        forward, kind = self.forward_desc, self.engine.type
        weights = MemoryDesc.any(self.weight_dims, kind)
        source, result = MemoryDesc.any(self.source_shape, kind), MemoryDesc.any(self.result_shape, kind)

        def desc(source: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
            return convolution.backward_data(source, weights, result, self.window, forward)

        return pick(
            lambda: desc(forward.src, forward.dst),
            lambda: desc(source, forward.dst),
            lambda: desc(source, result),
            prefer=self.prefer,
        )
