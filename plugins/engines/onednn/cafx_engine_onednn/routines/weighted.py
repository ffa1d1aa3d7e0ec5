"""What convolution and inner product share: weights, a bias, and what is fused behind them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from functools import partial

from cafx.kernel import Blob
from cafx.kernel.blob import SyncedArray

from ..api.attributes import Attr, BinaryOp, EltwiseOp, PostOp, PReLUOp
from ..api.constants import Alg, Arg, DataType, Norm, post_op_arg
from ..api.memory import Memory, MemoryDesc
from ..api.normalization import batch_norm_forward
from ..api.pointwise import binary, reorder
from ..api.primitives import PrimitiveDesc
from ..exact import Choice, Guard, relu
from ..execution import Execution, InOrder, Invocation, Reordering, Run, Work
from ..layouts import blocked_place, place_of
from ..operands import Bindable, Operand
from ..routine import Accelerated, Gradients
from .folding import Folded, Unfolded


class Weighted(Accelerated):
    """y = relu(W ∘ x + b + residual) by three primitives, which subclasses choose.

    The weights are kept in the layout of the primitive that computes their gradient.

    Attributes:
        forward_desc: computes y.
        backward_data: computes the gradient with respect to x; None if it is not needed.
        backward_weights: computes the gradients with respect to W and b; None if they are not needed.
    """

    forward_desc: PrimitiveDesc
    backward_data: PrimitiveDesc | None = None
    backward_weights: PrimitiveDesc | None = None

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias, or a folded normalisation makes one."""
        return len(self.layer.blobs) > 1 or self.fusion.batch_norm is not None

    @property
    def learns(self) -> tuple[bool, bool]:
        """Whether the gradients of weights and bias are needed."""
        needed = self.layer.param_propagate_down
        return self.training and needed[0], self.training and self.has_bias and needed[1]

    @functools.cached_property
    def slopes(self) -> dict[int, Operand]:
        """The slopes of a fused PReLU, as an argument."""
        slopes = self.fusion.slopes
        if slopes is None:
            return {}
        desc = MemoryDesc.plain((1, slopes.count_, *(1,) * (len(self.forward_desc.dst.dims) - 2)))
        return {post_op_arg(0, Arg.WEIGHTS): Operand(slopes.synced_data, desc)}

    @property
    def result(self) -> Blob:
        """The blob y is written to: the top, or that of a fused sum or normalisation."""
        return self.fusion.residual.top if self.fusion.residual else self.fusion.top or self.tops[0]

    def attr(self, *, relu: bool = True, residual: bool = True) -> Attr:
        """A sum and then a ReLU as post-ops, unless one is not wanted."""
        ops: list[PostOp] = []
        if residual and self.fusion.residual:
            ops.append(BinaryOp(Alg.BINARY_ADD, self.layout(self.fusion.residual.addend)))
        if relu and self.fusion.slope is not None:
            ops.append(EltwiseOp(Alg.RELU, self.fusion.slope))
        if self.fusion.slopes is not None:
            ops.append(PReLUOp())
        return Attr(ops)

    def bias_desc(self, count: int) -> MemoryDesc | None:
        """The bias's layout; None without a bias."""
        return MemoryDesc.plain((count,)) if self.has_bias else None

    def kept_layout(self, dims: Sequence[int]) -> MemoryDesc | None:
        """The blocked layout the weights are in already, as in a net they are shared with."""
        place = blocked_place(self.layer.blobs[0].synced_data)
        fits = place and place.dims == tuple(dims) and place.desc.dtype == DataType.F32
        return place.desc if place and fits else None

    @property
    def weights_layout(self) -> MemoryDesc:
        """The layout in which the weights are learned, if they are."""
        return self.backward_weights.diff_weights if self.backward_weights else self.forward_desc.weights

    @property
    def forward_weights(self) -> MemoryDesc:
        """The layout in which forward reads the weights."""
        return self.forward_desc.weights

    def prefer_weights_layout(self) -> None:
        """State where the weights are best kept: where their gradient is computed."""
        if self.fusion.batch_norm is None:
            self.build.prefer_layout(self.layer.blobs[0], place_of(self.weights_layout))

    def weights(self, desc: MemoryDesc) -> Operand:
        """The weights in one layout: the only one, in a net without backward pass."""
        return Operand(self.layer.blobs[0].synced_data, desc, sole=not self.build.plan.has_backward)

    def make_forward(self) -> Run:
        """One primitive; before it, a normalisation is folded into the weights if these have changed."""
        x = Operand(self.bottoms[0].synced_data, self.source_desc(self.forward_desc.src))
        y = Operand(self.result.synced_data, self.forward_desc.dst)
        if self.fusion.batch_norm is not None:
            return self._folded_forward(x, y)
        weights = self.weights(self.forward_weights)
        bias = Operand(self.layer.blobs[1].synced_data, self.forward_desc.bias) if self.has_bias else None
        reads = [x, weights, *([bias] if bias else []), *self.slopes.values()]
        return Execution(reads, self.forward_calls(x, weights, bias, y), [y])

    def _folded_forward(self, x: Operand, y: Operand) -> Run:
        fusion, desc = self.fusion, self.forward_desc
        folded = Folded(self.layer, fusion.batch_norm, fusion.scale, self.forward_weights, desc.bias)
        addends = [Operand(fusion.residual.addend.synced_data, desc.dst)] if fusion.residual else []
        calls = self.forward_calls(x, folded.weights, folded.bias, y, *addends)
        exact = partial(self._unfolded, x, y, *addends)
        return Execution([x, *addends], [Choice([folded], calls, exact)], [y])

    def _unfolded(self, x: Operand, y: Operand, *addends: Operand) -> list[Work]:
        """The same one after another, for parameters that are not finite."""
        desc, slope = self.unfused_desc(self.attr(relu=False, residual=False)), self.fusion.slope
        raw = Unfolded(self.layer, self.fusion.batch_norm, self.fusion.scale, desc.weights, desc.bias)
        flags, eps = Norm.GLOBAL_STATS | Norm.SCALE | Norm.SHIFT, self.fusion.batch_norm.eps
        norm = batch_norm_forward(y.desc, y.desc, eps, flags, training=False)
        work: list[Work] = [raw.load, self._forward_call(desc, x, raw.weights, raw.bias, y)]
        work.append(self.call(norm, {Arg.SRC: y, Arg.DST: y, **raw.arguments}))
        for each in addends:
            total = binary(Alg.BINARY_ADD, y.desc, each.desc, y.desc)
            work.append(self.call(total, {Arg.SRC: y, Arg.SRC_1: each, Arg.DST: y}))
        return [*work, *([] if slope is None else [relu(self.build, y, y, slope)])]

    def forward_calls(
        self, x: Operand, weights: Bindable, bias: Bindable | None, y: Operand, *addends: Operand
    ) -> Sequence[Work]:
        """What computes y; in two steps if the fused ReLU met NaN, of which oneDNN makes 0."""
        call = self._forward_call(self.forward_desc, x, weights, bias, y, *addends)
        if self.fusion.slope != 0:
            return [call]
        exact = partial(self.exact_forward, x, weights, bias, y, *addends)
        return [call, Guard(self.build.threads, exact)]

    def _forward_call(
        self, desc: PrimitiveDesc, x: Operand, weights: Bindable, bias: Bindable | None, y: Operand, *addends: Operand
    ) -> Invocation:
        arguments: dict[int, Bindable] = {Arg.SRC: x, Arg.WEIGHTS: weights, Arg.DST: y}
        arguments |= {post_op_arg(index): each for index, each in enumerate(addends)}
        return self.call(desc, arguments | self.slopes | ({Arg.BIAS: bias} if bias else {}))

    def exact_forward(
        self, x: Operand, weights: Bindable, bias: Bindable | None, y: Operand, *addends: Operand
    ) -> list[Work]:
        """What computes y with the ReLU as a step of its own."""
        desc = self.unfused_desc(self.attr(relu=False))
        reordered, work = self.converted(weights, desc.weights)
        work.append(self._forward_call(desc, x, reordered, bias, y, *addends))
        if self.fusion.slope is not None:
            work.append(relu(self.build, y, y, self.fusion.slope))
        return work

    def unfused_desc(self, attr: Attr) -> PrimitiveDesc:
        """The forward primitive with other post-ops, for the same layouts."""
        raise NotImplementedError

    def converted(self, weights: Bindable, desc: MemoryDesc) -> tuple[Bindable, list[Work]]:
        """Weights in another layout, and what brings them there."""
        if weights.desc == desc:
            return weights, []
        target = self.build.scratch("reordered weights", desc)
        return target, [Reordering(self.call(reorder(weights.desc, desc), {Arg.SRC: weights, Arg.DST: target}))]

    def source_desc(self, desc: MemoryDesc) -> MemoryDesc:
        """How the bottom is described, for a primitive's description of it."""
        return desc

    def make_backward(self) -> Run:
        """The ReLU's gradient, then the parameters', then the bottom's."""
        top = self.tops[0]
        runs: list[Run] = []
        if self.fusion.slope is not None and not self.fusion.relu_gradient_elsewhere:
            desc = self.forward_desc.dst
            y, dy = Operand(top.synced_data, desc), Operand(top.synced_diff, desc)
            masked = self.own_diff(top, desc)
            runs.append(Execution([y, dy], [self.relu_gradient(y, dy, masked, self.fusion.slope)], [masked]))
        if self.backward_weights is not None:
            runs.append(self._parameter_gradients(self.backward_weights))
        if self.backward_data is not None:
            dy = Operand(top.synced_diff, self.backward_data.diff_dst)
            dx = Operand(self.bottoms[0].synced_diff, self.source_desc(self.backward_data.diff_src))
            weights, calls = self.data_calls(self.backward_data, dy, dx)
            runs.append(Execution([dy, weights], calls, [dx]))
        return InOrder(runs)

    def data_calls(self, desc: PrimitiveDesc, dy: Operand, dx: Operand) -> tuple[Operand, Sequence[Work]]:
        """The weights to be read, and what computes dx."""
        weights, reordered, calls = self.reordered_weights(desc.weights)
        arguments: dict[int, Bindable] = {Arg.DIFF_DST: dy, Arg.WEIGHTS: reordered, Arg.DIFF_SRC: dx}
        return weights, [*calls, self.call(desc, arguments)]

    def reordered_weights(self, desc: MemoryDesc) -> tuple[Operand, Bindable, list[Work]]:
        """The weights to be read, the same in the layout ``desc``, and the reorder if that is another one.

        Weights that are learned change before they are used again, so the reordered ones need no memory of
        their own.
        """
        if not any(self.learns) or place_of(self.weights_layout) is place_of(desc):
            weights = self.weights(desc)
            return weights, weights, []
        weights, reordered = self.weights(self.weights_layout), self.build.scratch("reordered weights", desc)
        call = self.call(reorder(self.weights_layout, desc), {Arg.SRC: weights, Arg.DST: reordered})
        return weights, reordered, [Reordering(call)]

    def _parameter_gradients(self, desc: PrimitiveDesc) -> Run:
        blobs = self.layer.blobs
        x = Operand(self.bottoms[0].synced_data, self.source_desc(desc.src))
        dy = Operand(self.tops[0].synced_diff, desc.diff_dst)
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        if self.learns[0]:
            targets[Arg.DIFF_WEIGHTS] = blobs[0].synced_diff, self.weights_layout
        if self.learns[1]:
            targets[Arg.DIFF_BIAS] = blobs[1].synced_diff, desc.argument(Arg.DIFF_BIAS)
        return Gradients(self, targets, partial(self.weights_calls, desc, x, dy), (x, dy))

    def weights_calls(
        self, desc: PrimitiveDesc, x: Operand, dy: Operand, targets: Mapping[int, Bindable]
    ) -> Sequence[Work]:
        """What computes the gradients of weights and bias; one that is not needed goes to a scratch buffer."""
        arguments: dict[int, Bindable] = {Arg.SRC: x, Arg.DIFF_DST: dy}
        for arg, layout in ((Arg.DIFF_WEIGHTS, self.weights_layout), (Arg.DIFF_BIAS, desc.argument(Arg.DIFF_BIAS))):
            if layout.size:
                arguments[arg] = targets[arg] if arg in targets else self.unneeded(arg, layout)
        return [self.call(desc, arguments)]

    def unneeded(self, arg: int, desc: MemoryDesc) -> Memory:
        """Memory for a result that nobody reads."""
        return self.build.scratch(f"unneeded {arg}", desc)
