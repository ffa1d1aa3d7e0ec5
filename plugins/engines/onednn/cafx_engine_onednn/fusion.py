"""Fusion: layers that follow another in place become part of its primitive."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx.kernel import Blob, Phase, Unsupported
from cafx.kernel.net import LayerPlan, NetPlan, Routine, Step
from cafx_lib_fusion import Pattern, follows_in_place, joined, layer_at, recreated, relu_slope
from cafx_lib_fusion import fuse as fused_by

from .api.constants import Alg
from .routine import Accelerated, Fusion, Residual
from .routines.batch_norm import BatchNorm
from .routines.convolution import Convolution
from .routines.eltwise import Eltwise
from .routines.pooling import Pooling
from .routines.prelu import PReLU
from .routines.split import Split
from .routines.weighted import Weighted


def fuse(steps: Sequence[Step]) -> list[Step]:
    """The steps with every fusion that applies, the longest at each position."""
    return fused_by(steps, _patterns_for)


def _patterns_for(routine: Routine) -> list[Pattern]:
    return [pattern for kind, pattern in PATTERNS.items() if isinstance(routine, kind)]


def _relu_slope(steps: Sequence[Step], position: int) -> float | None:
    """The slope of a ReLU in place at a position; None if there is none that can be fused."""
    slope = relu_slope(steps, position)
    return slope if slope is not None and isinstance(steps[position].routines[0], Accelerated) else None


def _weighted(steps: Sequence[Step]) -> Step | None:
    """Convolution or inner product with a ReLU, whose gradient is computed after a max pooling behind it."""
    slope = _relu_slope(steps, 1)
    if slope is None:
        return None
    if len(steps) > 2 and _is_max_pooling_of(steps[2], steps[0]):
        weighted = recreated(steps[:2], Fusion(slope=slope, relu_gradient_elsewhere=True))
        pooling = recreated(steps[2:3], Fusion(slope=slope))
        return joined(steps[:3], [weighted, pooling], "fused ReLU; ReLU gradient computed after pooling")
    return joined(steps[:2], [recreated(steps[:2], Fusion(slope=slope))], "fused ReLU")


def _is_max_pooling_of(step: Step, first: Step) -> bool:
    routine, planned = step.routines[0], step.layers[0]
    return (
        isinstance(routine, Pooling)
        and routine.algorithm == Alg.POOLING_MAX
        and planned.bottoms[0] is first.tops[0]
        and planned.needs_backward
        and planned.propagate_down[0]
    )


def _batch_norm(steps: Sequence[Step]) -> Step | None:
    """Batch normalisation with the Scale and the ReLU behind it; or with the end of a residual block in training."""
    count, fusion = _scale_and_relu(steps, 1)
    if fusion.slope is None and (step := _with_sum(steps, count, fusion)):
        return step
    if count == 1:
        return None
    return joined(steps[:count], [recreated(steps[:count], fusion)], "fused: one primitive")


def _with_sum(steps: Sequence[Step], count: int, fusion: Fusion) -> Step | None:
    """Training: the same with a sum behind it, of its result, which nobody else reads, and another blob; with a ReLU,
    and with the Split by which two layers read the sum.
    """
    result = layer_at(steps, 0).tops[0]
    summed = _sum_of(steps, count, result)
    if summed is None or not _is_unseen(steps, result):
        return None
    addend, top, down = summed
    slope = _relu_slope(steps[count:], 1)
    if slope:
        return None
    end = count + 1 + (slope is not None)
    readers = _readers(steps, end, top)
    if _is_overwritten(steps[end:], top):
        return None  # by a layer in place; the ReLU's gradient, which reads the sum, is then computed from its result
    parts = steps[: end + bool(readers)]
    residual = Residual(addend, top, down, readers)
    try:
        routine = recreated(parts, attrs.evolve(fusion, slope=slope, residual=residual))
    except Unsupported:
        return None
    return joined(parts, [routine], "fused: normalisation and sum, and their gradients, in one pass each")


def _is_overwritten(steps: Sequence[Step], blob: Blob) -> bool:
    """Whether the first layer that reads a blob works in place."""
    first = next((layer for step in steps for layer in step.layers if blob in layer.bottoms), None)
    return first is not None and blob in first.tops


def _readers(steps: Sequence[Step], position: int, blob: Blob) -> tuple[Blob, ...]:
    """The two tops of a Split of a blob at a position; none if there is no such layer."""
    if len(steps) <= position or not isinstance(steps[position].routines[0], Split):
        return ()
    split = layer_at(steps, position)
    fits = split.bottoms == (blob,) and len(split.tops) == 2 and split.needs_backward
    return split.tops if fits else ()


def _scale_and_relu(steps: Sequence[Step], count: int) -> tuple[int, Fusion]:
    """How many steps a Scale and a ReLU at a position extend the normalisation before them to, and the fusion."""
    norm = steps[count - 1].routines[0]
    fusion = Fusion(scale=norm.own_scale if isinstance(norm, BatchNorm) else None)
    if (
        fusion.scale is None
        and follows_in_place(steps, count)
        and layer_at(steps, count).layer.type == "Scale"
        and _is_per_channel(layer_at(steps, count))
    ):
        fusion = Fusion(scale=steps[count].routines[0].layer)
        count += 1
    if _relu_slope(steps, count) == 0.0:
        fusion = attrs.evolve(fusion, slope=0.0)
        count += 1
    return count, fusion


def _is_per_channel(scale: LayerPlan) -> bool:
    """Whether a Scale has one factor per channel, of its own."""
    bottom, layer = scale.bottoms[0], scale.layer
    if len(bottom.shape) < 2 or not layer.blobs or layer.blobs[0].shape != bottom.shape[1:2]:
        return False
    return bool(layer.axis(bottom, layer.options.axis) == 1)


def _sum(steps: Sequence[Step]) -> Step | None:
    """A sum with a ReLU."""
    slope = _relu_slope(steps, 1)
    if slope is None:
        return None
    return joined(steps[:2], [recreated(steps[:2], Fusion(slope=slope))], "fused ReLU")


def _folded(steps: Sequence[Step]) -> Step | None:
    """TEST phase: a convolution whose weights take in the normalisation behind it."""
    if len(steps) < 2 or layer_at(steps, 0).layer.phase is not Phase.TEST:
        return None
    norm, in_place = steps[1].routines[0], follows_in_place(steps, 1)
    if not isinstance(norm, BatchNorm) or not norm.layer.uses_running_statistics:
        return None
    if not in_place and not _is_read_by_next_alone(steps):
        return None
    count, fusion = _scale_and_relu(steps, 2) if in_place else _scale_and_relu_apart(steps)
    fusion = attrs.evolve(fusion, batch_norm=norm.layer)
    if norm.build.plan.has_backward and any(step.needs_backward for step in steps[:count]):
        return None
    if fusion.slope is None and (step := _with_residual(steps, count, fusion)):
        return step
    return joined(steps[:count], [recreated(steps[:count], fusion)], "fused: normalisation folded into the weights")


def _is_read_by_next_alone(steps: Sequence[Step]) -> bool:
    """Whether what the first layer writes is the next one's bottom and nothing else: nobody needs its values."""
    after, written = layer_at(steps, 1), layer_at(steps, 0).tops[0]
    return _is_passed_on(steps, written) and after.bottoms == (written,) and written not in after.tops


def _is_passed_on(steps: Sequence[Step], blob: Blob) -> bool:
    """Whether a blob's values are needed by its readers alone, and in this pass: in inference."""
    return not _plan(steps).has_backward and _is_unseen(steps, blob)


def _is_unseen(steps: Sequence[Step], blob: Blob) -> bool:
    """Whether a blob's values are not kept for anybody but its readers."""
    kept = _plan(steps).kept
    return kept is not None and blob.synced_data not in kept


def _plan(steps: Sequence[Step]) -> NetPlan:
    first = steps[0].routines[0]
    assert isinstance(first, Accelerated)
    return first.build.plan


def _scale_and_relu_apart(steps: Sequence[Step]) -> tuple[int, Fusion]:
    """`_scale_and_relu` behind a normalisation that is not in place."""
    count, fusion = _scale_and_relu(steps[1:], 1)
    return count + 1, attrs.evolve(fusion, top=layer_at(steps, 1).tops[0])


def _with_residual(steps: Sequence[Step], count: int, fusion: Fusion) -> Step | None:
    """The same with a sum behind it, of its result, which nobody else reads, and another blob; and a ReLU."""
    result = fusion.top or layer_at(steps, 0).tops[0]
    summed = _sum_of(steps, count, result)
    if summed is None or not _is_passed_on(steps, result):
        return None
    addend, top, _ = summed
    slope = _relu_slope(steps[count:], 1)
    parts = steps[: count + 1 + (slope is not None)]
    try:
        routine = recreated(parts, attrs.evolve(fusion, slope=slope, residual=Residual(addend, top)))
    except Unsupported:
        return None
    return joined(parts, [routine], "fused: normalisation folded into the weights, sum as post-op")


def _sum_of(steps: Sequence[Step], position: int, result: Blob) -> tuple[Blob, Blob, bool] | None:
    """If a step adds another blob to a result: that blob, the sum, and whether the other one's gradient is needed."""
    last = steps[position].routines[0] if len(steps) > position else None
    if not isinstance(last, Eltwise) or not last.plain_sum or result not in last.bottoms:
        return None
    other = int(last.bottoms[0] is result)
    addend, top = last.bottoms[other], last.tops[0]
    if addend is result or top in last.bottoms:
        return None
    return addend, top, last.propagate_down[other] if last.propagate_down else False


def _with_slopes(steps: Sequence[Step]) -> Step | None:
    """Inference: a convolution or inner product with a PReLU in place."""
    if not follows_in_place(steps, 1) or not isinstance(steps[1].routines[0], PReLU):
        return None
    slopes = layer_at(steps, 1).layer.blobs[0]
    return joined(steps[:2], [recreated(steps[:2], Fusion(slopes=slopes))], "fused PReLU")


def _convolution(steps: Sequence[Step]) -> Step | None:
    return _folded(steps) or _any_product(steps)


def _any_product(steps: Sequence[Step]) -> Step | None:
    return _weighted(steps) or _with_slopes(steps)


PATTERNS: dict[type[Routine], Pattern] = {
    Convolution: _convolution,
    Weighted: _any_product,
    BatchNorm: _batch_norm,
    Eltwise: _sum,
}
