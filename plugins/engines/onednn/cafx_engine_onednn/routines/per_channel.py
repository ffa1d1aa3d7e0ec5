"""What is one factor and one shift per channel, by oneDNN's batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import SyncedArray

from ..api.constants import Alg, Arg, Norm
from ..api.memory import Memory, MemoryDesc
from ..api.normalization import batch_norm_backward, batch_norm_forward
from ..api.pointwise import binary
from ..api.primitives import PrimitiveDesc
from ..exact import Again, AllFinite, Choice, FewFinite, Guard, relu
from ..execution import Execution, Invocation, Run, Work
from ..operands import Bindable, Operand
from ..routine import Accelerated, Gradients, pick

ARGS = {Norm.SCALE: (Arg.SCALE, Arg.DIFF_SCALE), Norm.SHIFT: (Arg.SHIFT, Arg.DIFF_SHIFT)}
"""The arguments of what is learned: its values and its gradient."""
PARAMETERS = {arg for pair in ARGS.values() for arg in pair}
INPUTS = (Arg.SRC, Arg.MEAN, Arg.VARIANCE, Arg.SCALE)


class PerChannel(Accelerated):
    """y = relu(s (x − μ) / √(σ² + eps) + b), with one μ, σ², s and b per channel.

    In place, the top has memory of its own: backward needs what it would overwrite.

    Attributes:
        eps: of the formula.
        running: μ and σ² are given, rather than the batch's.
        scale: the layer that has s and b, or None.
        learned: which parameters that layer has.
    """

    carried = ("mean", "variance")
    eps: float = 0.0
    running = True
    scale: Any = None
    learned: tuple[Norm, ...] = (Norm.SCALE, Norm.SHIFT)

    def choose_among(self, *sources: MemoryDesc) -> None:
        """Choose primitives for the first layout that has fast ones."""
        self.in_place = self.bottoms[0] is self.tops[0]
        flags = Norm.GLOBAL_STATS if self.running else Norm.NONE
        for flag, _ in zip(self.learned, self.scale.blobs if self.scale is not None else (), strict=False):
            flags |= flag
        self.relu = self.fusion.slope is not None
        self.overwritten = self.in_place and not self.training
        self.flags = flags | (Norm.FUSE_RELU if self.relu and not self.overwritten else Norm.NONE)
        self.forward_desc = pick(*(lambda s=s: self._forward_desc(s) for s in sources))
        if self.training:
            self.backward_desc = pick(self._backward_desc)
        channels = MemoryDesc.plain((self.forward_desc.src.dims[1],))
        self.mean, self.variance = Memory(channels), Memory(channels)
        self.x: Operand | None = None
        self._x_is_finite: AllFinite | None = None

    def _forward_desc(self, source: MemoryDesc, *, relu: bool = True) -> PrimitiveDesc:
        training, flags = self.training or not self.running, self.flags if relu else self.flags & ~Norm.FUSE_RELU
        return batch_norm_forward(source, source, self.eps, flags, training=training)

    def _backward_desc(self) -> PrimitiveDesc:
        desc = self.forward_desc.src
        return batch_norm_backward(desc, desc, desc, self.eps, self.flags, self.forward_desc)

    def _unfused(self, flags: Norm) -> tuple[PrimitiveDesc, PrimitiveDesc]:
        """Forward and backward with less fused."""
        desc = self.forward_desc.src
        forward = batch_norm_forward(desc, desc, self.eps, flags, training=True)
        return forward, batch_norm_backward(desc, desc, desc, self.eps, flags, forward)

    def _statistics(self) -> dict[int, Memory]:
        return {Arg.MEAN: self.mean, Arg.VARIANCE: self.variance}

    def parameters(self) -> dict[int, Operand]:
        """Scale and shift."""
        blobs = self.scale.blobs if self.scale is not None else ()
        return {
            ARGS[kind][0]: Operand(blob.synced_data, MemoryDesc.plain((blob.count_,)))
            for kind, blob in zip(self.learned, blobs, strict=False)
        }

    def _workspace(self) -> dict[int, Memory]:
        """Which values the ReLU passed."""
        return self.held(Arg.WORKSPACE, self.forward_desc.workspace)

    def make_forward(self) -> Run:
        """One primitive, and what `around` adds; in two steps if the fused ReLU met NaN, of which oneDNN makes 0."""
        desc, apart = self.forward_desc.src, self.in_place and self.training
        self.x = x = Operand(self.bottoms[0].synced_data, desc, pinned=apart)
        y = Operand(self.tops[0].synced_data, desc, apart=apart)
        parameters = self.parameters()
        arguments: dict[int, Bindable] = {Arg.SRC: x, Arg.DST: y, **self._statistics(), **parameters}
        work = self.around(self.call(self.forward_desc, arguments | self._workspace()))
        if self.relu and self.overwritten:
            work.append(relu(self.build, y, y, 0.0))
        elif self.relu:
            exact = partial(self._exact_forward, arguments, y)
            wrong = partial(self._may_be_wrong, x, list(parameters.values()))
            work.append(Again(wrong, exact) if self.training else Guard(self.build.threads, exact))
        return Execution([x, *parameters.values()], work, [y])

    def _may_be_wrong(self, x: Operand, parameters: Sequence[Operand]) -> bool:
        """Whether the fused ReLU may have met NaN: in training it compares so that the processor does not tell."""
        values = [self.mean.flat, self.variance.flat, *(each.array for each in parameters)]
        if not all(np.isfinite(each).all() for each in values):
            return True
        if not self.running:
            return False  # else the statistics would not be finite
        if self._x_is_finite is None:
            self._x_is_finite = AllFinite(self.build, x)
        return not self._x_is_finite()

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        if self._x_is_finite is not None:
            self._x_is_finite.release()

    def _exact_forward(self, arguments: Mapping[int, Bindable], y: Operand) -> list[Work]:
        return [self.call(self._forward_desc(y.desc, relu=False), arguments), relu(self.build, y, y, 0.0)]

    def around(self, call: Invocation) -> list[Work]:
        """The primitive, and what happens before and after it."""
        return [call]

    def forward_input(self) -> Operand:
        """The bottom's values for the backward pass: in place, as forward has left them.

        Raises:
            CafxError: forward has not run.
        """
        if self.x is None:
            raise CafxError(
                "backward begins inside a fused step whose parts have not run forward",
                where=self.layer.where,
                remedy="run forward from or to the same layer, or begin behind the fused layers",
            )
        return self.x if self.x.pinned else Operand(self.bottoms[0].synced_data, self.forward_desc.src)

    def make_backward(self) -> Run:
        """One primitive; several where dy is not finite: oneDNN leaves out what the ReLU masks."""
        desc, needed = self.forward_desc.src, self.propagate_down[0]
        x, bottom = self.forward_input(), self.bottoms[0]
        dy = Operand(self.tops[0].synced_diff, desc)
        dx = self.own_diff(bottom, desc) if self.in_place else Operand(bottom.synced_diff, desc)
        parameters = self.parameters()
        shift = parameters.pop(Arg.SHIFT, None)
        arguments: dict[int, Bindable] = {
            Arg.SRC: x,
            Arg.DIFF_DST: dy,
            Arg.DIFF_SRC: dx if needed else self.build.scratch("unneeded bottom diff", desc),
            **self._statistics(),
            **parameters,
        }
        targets, unneeded = self.targets()

        def calls(gradients: Mapping[int, Bindable]) -> list[Work]:
            every = {**arguments, **unneeded, **gradients}
            fused = self.call(self.backward_desc, {**every, **self._workspace()})
            scale = None if self.running else parameters.get(Arg.SCALE)
            if not self.relu and scale is None:
                return [fused]
            conditions = [*([AllFinite(self.build, dy)] if self.relu else []), *([FewFinite(scale)] if scale else [])]
            return [Choice(conditions, [fused], partial(self._exact_backward, every, scale, shift))]

        reads = [dy, *parameters.values()] if self.in_place else [x, dy, *parameters.values()]
        if self.relu and shift is not None:
            reads.append(shift)
        keeps = [x] if self.in_place else []
        writes = [dx] if needed else []
        if not targets:
            return Execution(reads, calls({}), writes, keeps=keeps)
        return Gradients(self, targets, calls, reads, writes, keeps)

    def _exact_backward(
        self, arguments: Mapping[int, Bindable], scale: Operand | None, shift: Operand | None
    ) -> list[Work]:
        """The gradients of ReLU, scale and normalisation one after another."""
        desc, dy = self.forward_desc.src, arguments[Arg.DIFF_DST]
        if not self.relu:
            return self.backward_apart(arguments, scale)
        y, masked = (self.build.scratch(f"unfused {each}", desc) for each in ("top", "ReLU gradient"))
        known = {arg: each for arg, each in arguments.items() if arg in INPUTS}
        shifted = {} if shift is None else {Arg.SHIFT: shift}
        forward, _ = self._unfused(self.flags & ~Norm.FUSE_RELU)
        call = self.call(forward, {**known, **shifted, Arg.DST: y})
        after = self.backward_apart({**arguments, Arg.DIFF_DST: masked}, scale)
        return [call, self.relu_gradient(y, dy, masked, 0.0), *after]

    def backward_apart(self, arguments: Mapping[int, Bindable], scale: Operand | None) -> list[Work]:
        """The gradients of scale and normalisation one after another.

        Args:
            arguments: of the primitive.
            scale: the factors, unless the statistics are given.
        """
        desc, dy = self.forward_desc.src, arguments[Arg.DIFF_DST]
        _, backward = self._unfused(self.flags & ~Norm.FUSE_RELU)
        work: list[Work] = [self.call(backward, arguments)]
        if scale is not None:
            factors = scale.window(MemoryDesc.plain((1, scale.desc.dims[0], *(1 for _ in desc.dims[2:]))))
            scaled = self.build.scratch("unfused scale gradient", desc)
            product = binary(Alg.BINARY_MUL, desc, factors.desc, desc)
            _, backward = self._unfused(self.flags & Norm.GLOBAL_STATS)
            statistics = {arg: each for arg, each in arguments.items() if arg not in PARAMETERS}
            work.append(self.call(product, {Arg.SRC: dy, Arg.SRC_1: factors, Arg.DST: scaled}))
            work.append(self.call(backward, {**statistics, Arg.DIFF_DST: scaled}))
        return work

    def targets(self) -> tuple[dict[int, tuple[SyncedArray, MemoryDesc]], dict[int, Memory]]:
        """Where the gradients of scale and shift go, and memory for those that are not needed."""
        targets: dict[int, tuple[SyncedArray, MemoryDesc]] = {}
        unneeded: dict[int, Memory] = {}
        if self.scale is not None:
            needed = self.scale.param_propagate_down
            for kind, blob, needs in zip(self.learned, self.scale.blobs, needed, strict=False):
                arg, desc = ARGS[kind][1], MemoryDesc.plain((blob.count_,))
                if needs:
                    targets[arg] = blob.synced_diff, desc
                else:
                    unneeded[arg] = self.build.scratch(f"unneeded {arg}", desc)
        return targets, unneeded
