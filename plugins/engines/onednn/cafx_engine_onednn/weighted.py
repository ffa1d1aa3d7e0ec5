"""What convolution and inner product have in common: weights, a bias, a unit as post-op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cafx.kernel.blob import SyncedArray

from .attributes import Attr, EltwiseOp
from .constants import Alg, Arg, DataType
from .folding import Folded
from .memory import Memory, MemoryDesc
from .operands import Operand
from .places import Conversion, held_in, place_of
from .pointwise import reorder
from .primitives import PrimitiveDesc
from .routine import Accelerated, Gradients, Pass, Run, several


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
    def attr(self) -> Attr:
        """The unit as a post-op."""
        return Attr() if self.slope is None else Attr([EltwiseOp(Alg.RELU, self.slope)])

    def bias_desc(self, count: int) -> MemoryDesc | None:
        """The bias's layout, or none."""
        return MemoryDesc.plain((count,)) if self.biased else None

    def pinned(self, dims: Sequence[int]) -> MemoryDesc | None:
        """The blocked layout the weights are kept in already, as by another net they are shared with."""
        held = held_in(self.layer.blobs[0].synced_data)
        fits = held and held.dims == tuple(dims) and held.desc.dtype == DataType.F32
        return held.desc if held and fits else None

    def settle_weights(self) -> None:
        """Tell the engine where weights are best kept: where their gradient is made."""
        if "fold" in self.fused:
            return
        made = self.weights_back.diff_weights if self.weights_back else self.ahead.weights
        self.engine.wants(self.layer.blobs[0], place_of(made))

    def weights(self, desc: MemoryDesc) -> Operand:
        """The weights in one layout."""
        return Operand(self.layer.blobs[0].synced_data, desc)

    def make_forward(self) -> Run:
        """One primitive."""
        ahead, blobs = self.ahead, self.layer.blobs
        if "fold" in self.fused:
            return self._make_folded()
        x = Operand(self.step.bottom[0].synced_data, self.source_desc(ahead.src))
        y = Operand(self.step.top[0].synced_data, ahead.dst)
        reads: dict[int, Operand] = {Arg.SRC: x, Arg.WEIGHTS: self.weights(ahead.weights)}
        if self.biased:
            reads[Arg.BIAS] = Operand(blobs[1].synced_data, ahead.bias)
        return Pass(reads.values(), [self.call(ahead, {**reads, Arg.DST: y})], [y])

    def _make_folded(self) -> Run:
        """One primitive, on weights into which a normalisation is multiplied whenever they change."""
        ahead = self.ahead
        x = Operand(self.step.bottom[0].synced_data, self.source_desc(ahead.src))
        y = Operand(self.step.top[0].synced_data, ahead.dst)
        norm, scale = self.fused["fold"]
        folded = Folded(self.layer, norm, scale, ahead)
        given: dict[int, Operand | Memory] = {
            Arg.SRC: x,
            Arg.WEIGHTS: folded.weights,
            Arg.BIAS: folded.bias,
            Arg.DST: y,
        }
        return Pass([x], [folded.refresh, self.call(ahead, given)], [y])

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
            back = self.data_back
            dy = Operand(top.synced_diff, back.diff_dst)
            dx = Operand(bottom.synced_diff, self.source_desc(back.diff_src))
            weights, turned, calls = self._weights_for(back)
            calls.append(self.call(back, {Arg.DIFF_DST: dy, Arg.WEIGHTS: turned, Arg.DIFF_SRC: dx}))
            passes.append(Pass([dy, weights], calls, [dx]))
        return several(passes)

    def _weights_for(self, back: PrimitiveDesc) -> tuple[Operand, Operand | Memory, list[Run]]:
        """The weights where they are at home and, if the way back wants them otherwise, their reorder.

        What is learned changes before it is used again, so that memory for the other layout is shared.
        """
        home = self.weights_back.diff_weights if self.weights_back else self.ahead.weights
        if not any(self.learns) or place_of(home) is place_of(back.weights):
            weights = self.weights(back.weights)
            return weights, weights, []
        weights, turned = self.weights(home), self.engine.spare(Arg.WEIGHTS, back.weights)
        turn = self.call(reorder(home, back.weights), {Arg.SRC: weights, Arg.DST: turned})
        return weights, turned, [Conversion(turn)]

    def _make_weights_back(self, back: PrimitiveDesc) -> Run:
        blobs = self.layer.blobs
        x = Operand(self.step.bottom[0].synced_data, self.source_desc(back.src))
        dy = Operand(self.step.top[0].synced_diff, back.diff_dst)
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        apart: dict[int, Any] = {}
        for arg, wanted, blob, desc in (
            (Arg.DIFF_WEIGHTS, self.learns[0], blobs[0], back.diff_weights),
            (Arg.DIFF_BIAS, self.learns[1], blobs[-1], back.argument(Arg.DIFF_BIAS)),
        ):
            if wanted:
                targets[arg] = blob.synced_diff, desc
            elif desc.size:
                apart[arg] = self.engine.spare(-arg, desc)
        reads: dict[int, Operand] = {Arg.SRC: x, Arg.DIFF_DST: dy}

        def prepare(to: Mapping[int, Any]) -> list[Run]:
            return [self.call(back, {**reads, **to, **apart})]

        return Gradients(self, targets).runs(prepare, tuple(reads.values()))
