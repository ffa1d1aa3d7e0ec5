"""What convolution and inner product have in common: weights, a bias, a unit as post-op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from cafx.kernel import Blob
from cafx.kernel.blob import SyncedArray

from ..api.attributes import Attr, BinaryOp, EltwiseOp, PostOp
from ..api.constants import Alg, Arg, DataType, post_op_arg
from ..api.memory import Memory, MemoryDesc
from ..api.pointwise import reorder
from ..api.primitives import PrimitiveDesc
from ..layouts import Conversion, held_in, place_of
from ..operands import Operand
from ..routine import Accelerated, Gradients, Pass, Run, several
from ..routines.folding import Folded

Bytes = Operand | Memory


class Weighted(Accelerated):
    """y = unit(W ∘ x + b) by three primitives, which subclasses choose.

    The weights live in the layout of the primitive that computes their gradient.

    Attributes:
        ahead: forward.
        data_back: gradient of x, or None where nobody wants it.
        weights_back: gradient of W and b, or None.
        slope: of the unit fused behind it, or None without one.
        masked: the unit's gradient is left to the pooling behind it.
    """

    binds = True

    ahead: PrimitiveDesc
    data_back: PrimitiveDesc | None = None
    weights_back: PrimitiveDesc | None = None

    @property
    def slope(self) -> float | None:
        """The slope of a unit fused behind it."""
        return self.fused.get("slope")

    @property
    def biased(self) -> bool:
        """Whether there is a bias, or a folded normalisation makes one."""
        return len(self.layer.blobs) > 1 or "fold" in self.fused

    @property
    def learns(self) -> list[bool]:
        """Whether weights and bias want gradients."""
        wanted = self.layer.param_propagate_down
        return [self.training and wanted[0], self.training and self.biased and wanted[1]]

    @property
    def result(self) -> Blob:
        """Where the result goes: to the top of a sum that is part of it."""
        blob: Blob = self.fused["sum"][1] if "sum" in self.fused else self.step.top[0]
        return blob

    @property
    def addend(self) -> Blob | None:
        """What is added to the result."""
        return self.fused["sum"][0] if "sum" in self.fused else None

    @property
    def attr(self) -> Attr:
        """A sum and then the unit as post-ops."""
        ops: list[PostOp] = [] if self.addend is None else [BinaryOp(Alg.BINARY_ADD, self.layout(self.addend))]
        return Attr(ops if self.slope is None else [*ops, EltwiseOp(Alg.RELU, self.slope)])

    def bias_desc(self, count: int) -> MemoryDesc | None:
        """The bias's layout, or none."""
        return MemoryDesc.plain((count,)) if self.biased else None

    def pinned(self, dims: Sequence[int]) -> MemoryDesc | None:
        """The blocked layout the weights are kept in already, as by another net they are shared with."""
        held = held_in(self.layer.blobs[0].synced_data)
        fits = held and held.dims == tuple(dims) and held.desc.dtype == DataType.F32
        return held.desc if held and fits else None

    @property
    def home(self) -> MemoryDesc:
        """The layout in which the weights are learned, if they are."""
        return self.weights_back.diff_weights if self.weights_back else self.ahead.weights

    @property
    def weights_ahead(self) -> MemoryDesc:
        """The layout in which forward reads the weights."""
        return self.ahead.weights

    def settle_weights(self) -> None:
        """Tell the engine where weights are best kept: where their gradient is made."""
        if "fold" in self.fused:
            return
        self.engine.wants(self.layer.blobs[0], place_of(self.home))

    def weights(self, desc: MemoryDesc) -> Operand:
        """The weights in one layout: the only one, in a net that never goes back."""
        return Operand(self.layer.blobs[0].synced_data, desc, alone=not self.engine.goes_back)

    def make_forward(self) -> Run:
        """One primitive; before it a normalisation is multiplied into the weights, if they have changed."""
        x = Operand(self.step.bottom[0].synced_data, self.source_desc(self.ahead.src))
        y = Operand(self.result.synced_data, self.ahead.dst)
        if "fold" in self.fused:
            norm, scale = self.fused["fold"]
            folded = Folded(self.layer, norm, scale, self.weights_ahead, self.ahead.bias)
            more = [] if self.addend is None else [Operand(self.addend.synced_data, self.ahead.dst)]
            calls = self.forward_calls(x, folded.weights, folded.bias, y, *more)
            return Pass([x, *more], [folded.refresh, *calls], [y])
        weights = self.weights(self.weights_ahead)
        bias = Operand(self.layer.blobs[1].synced_data, self.ahead.bias) if self.biased else None
        reads = [x, weights, *([bias] if bias else [])]
        return Pass(reads, self.forward_calls(x, weights, bias, y), [y])

    def forward_calls(
        self, x: Operand, weights: Bytes, bias: Bytes | None, y: Operand, *more: Operand
    ) -> Sequence[Run]:
        """What computes y, with what more is added to it."""
        given: dict[int, Bytes] = {Arg.SRC: x, Arg.WEIGHTS: weights, Arg.DST: y}
        given |= {post_op_arg(index): each for index, each in enumerate(more)}
        return [self.call(self.ahead, given | ({Arg.BIAS: bias} if bias else {}))]

    def source_desc(self, desc: MemoryDesc) -> MemoryDesc:
        """How the bottom is to be seen, for a primitive's view of it."""
        return desc

    def make_backward(self) -> Run:
        """The unit's gradient, then the parameters', then the bottom's."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        passes: list[Run] = []
        if self.slope is not None and not self.fused.get("masked"):
            y = Operand(top.synced_data, self.ahead.dst)
            dy, masked = Operand(top.synced_diff, self.ahead.dst), self.own_diff(top, self.ahead.dst)
            passes.append(Pass([y, dy], [self.mask_by(y, dy, masked, self.slope)], [masked]))
        if self.weights_back is not None:
            passes.append(self._make_weights_back(self.weights_back))
        if self.data_back is not None:
            dy = Operand(top.synced_diff, self.data_back.diff_dst)
            dx = Operand(bottom.synced_diff, self.source_desc(self.data_back.diff_src))
            weights, calls = self.data_calls(self.data_back, dy, dx)
            passes.append(Pass([dy, weights], calls, [dx]))
        return several(passes)

    def data_calls(self, back: PrimitiveDesc, dy: Operand, dx: Operand) -> tuple[Operand, Sequence[Run]]:
        """The weights to be read, and what computes dx."""
        weights, turned, calls = self.turned(back.weights)
        given: dict[int, Bytes] = {Arg.DIFF_DST: dy, Arg.WEIGHTS: turned, Arg.DIFF_SRC: dx}
        return weights, [*calls, self.call(back, given)]

    def turned(self, wanted: MemoryDesc) -> tuple[Operand, Bytes, list[Run]]:
        """The weights to be read, and as a way back wants them, after a reorder where that is another layout.

        What is learned changes before it is used again, so that memory for the other layout is shared.
        """
        if not any(self.learns) or place_of(self.home) is place_of(wanted):
            weights = self.weights(wanted)
            return weights, weights, []
        weights, turned = self.weights(self.home), self.engine.spare(Arg.WEIGHTS, wanted)
        turn = self.call(reorder(self.home, wanted), {Arg.SRC: weights, Arg.DST: turned})
        return weights, turned, [Conversion(turn)]

    def _make_weights_back(self, back: PrimitiveDesc) -> Run:
        blobs = self.layer.blobs
        x = Operand(self.step.bottom[0].synced_data, self.source_desc(back.src))
        dy = Operand(self.step.top[0].synced_diff, back.diff_dst)
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        if self.learns[0]:
            targets[Arg.DIFF_WEIGHTS] = blobs[0].synced_diff, self.home
        if self.learns[1]:
            targets[Arg.DIFF_BIAS] = blobs[1].synced_diff, back.argument(Arg.DIFF_BIAS)
        prepare = partial(self.weights_calls, back, x, dy)
        return Gradients(self, targets).runs(prepare, (x, dy))

    def weights_calls(self, back: PrimitiveDesc, x: Operand, dy: Operand, to: Mapping[int, Any]) -> Sequence[Run]:
        """What computes the gradients of weights and bias; into memory nobody reads, if one is not wanted."""
        given: dict[int, Bytes] = {Arg.SRC: x, Arg.DIFF_DST: dy}
        for arg, desc in ((Arg.DIFF_WEIGHTS, self.home), (Arg.DIFF_BIAS, back.argument(Arg.DIFF_BIAS))):
            if desc.size:
                given[arg] = to[arg] if arg in to else self.engine.spare(-arg, desc)
        return [self.call(back, given)]
