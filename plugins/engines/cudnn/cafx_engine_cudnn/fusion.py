"""Fusion: layers that follow another become part of its routine."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import attrs

from cafx.kernel import Blob, Phase, Unsupported
from cafx.kernel.net import Routine, Step
from cafx_engine_cudnn.routine import Accelerated, Fusion
from cafx_engine_cudnn.routines.batch_norm import BatchNorm
from cafx_engine_cudnn.routines.convolution import Convolution
from cafx_engine_cudnn.routines.deconvolution import Deconvolution
from cafx_engine_cudnn.routines.eltwise import Eltwise
from cafx_engine_cudnn.routines.inner_product import InnerProduct
from cafx_engine_cudnn.routines.pooling import Pooling
from cafx_engine_cudnn.routines.scale import Bias, Scale
from cafx_lib_fusion import Pattern, follows_in_place, joined, layer_at, recreated, relu_slope
from cafx_lib_fusion import fuse as fused_by


def fuse(steps: Sequence[Step]) -> list[Step]:
    """The steps with every fusion that applies, the longest at each position."""
    return fused_by(steps, _patterns_for)


def _patterns_for(routine: Routine) -> list[Pattern]:
    """Those of the routine's own type: a deconvolution is not fused as the convolution it derives from."""
    pattern = PATTERNS.get(type(routine))
    return [pattern] if pattern else []


def _convolution(steps: Sequence[Step]) -> Step | None:
    return _folded(steps) or _rectified_convolution(steps)


def _rectified_convolution(steps: Sequence[Step]) -> Step | None:
    slope = relu_slope(steps, 1)
    if slope is None:
        return None
    if _is_max_pooling(steps, 2):
        with contextlib.suppress(Unsupported):
            return _pooled_convolution(steps, slope)
    return joined(steps[:2], [recreated(steps[:2], Fusion(slope=slope))], "fused ReLU")


def _is_max_pooling(steps: Sequence[Step], position: int) -> bool:
    """Whether a step is a MAX pooling of what the first one writes, and hands its gradient on."""
    if len(steps) <= position:
        return False
    pooling, planned = steps[position].routines[0], layer_at(steps, position)
    pools = isinstance(pooling, Pooling) and pooling.is_max and planned.bottoms[0] is layer_at(steps, 0).tops[0]
    return pools and planned.needs_backward and bool(planned.propagate_down[0])


def _pooled_convolution(steps: Sequence[Step], slope: float) -> Step:
    """A convolution with a ReLU, whose gradient the pooling behind it computes on far fewer values."""
    convolution = recreated(steps[:2], Fusion(slope=slope, relu_gradient_elsewhere=True))
    pooling = recreated(steps[2:3], Fusion(relu_of_bottom=slope))
    return joined(steps[:3], [convolution, pooling], "fused ReLU; its gradient in the pooling")


def _with_relu(steps: Sequence[Step]) -> Step | None:
    """A layer with a ReLU in place behind it."""
    slope = relu_slope(steps, 1)
    if slope is None:
        return None
    return joined(steps[:2], [recreated(steps[:2], Fusion(slope=slope))], "fused ReLU")


def _inner_product(steps: Sequence[Step]) -> Step | None:
    """An inner product with a ReLU and a Dropout in TRAIN phase, which needs no mask behind a ReLU."""
    if relu_slope(steps, 1) == 0.0 and _is_dropout(steps, 2):
        fusion = Fusion(slope=0.0, dropout=layer_at(steps, 2).layer)
        return joined(steps[:3], [recreated(steps[:3], fusion)], "fused ReLU and dropout")
    return _with_relu(steps)


def _is_dropout(steps: Sequence[Step], position: int) -> bool:
    """Whether a step is a Dropout that draws, in place."""
    if not follows_in_place(steps, position):
        return False
    layer = layer_at(steps, position).layer
    return bool(layer.type == "Dropout" and layer.phase is Phase.TRAIN)


def _batch_norm(steps: Sequence[Step]) -> Step | None:
    """A normalisation with the Scale, the sum with another blob and the ReLU behind it."""
    count, fusion = _behind_batch_norm(steps)
    if count == 1:
        return None
    return joined(steps[:count], [recreated(steps[:count], fusion)], "fused: one pass")


def _behind_batch_norm(steps: Sequence[Step]) -> tuple[int, Fusion]:
    """How many steps a normalisation takes in, itself included, and what they add to it."""
    count, fusion = 1, Fusion()
    if follows_in_place(steps, 1) and type(steps[1].routines[0]) is Scale:
        count, fusion = 2, Fusion(scale=layer_at(steps, 1).layer)
    addend = _addend(steps, count)
    if addend is not None:
        fusion = attrs.evolve(fusion, residual=addend, top=layer_at(steps, count).tops[0])
        count += 1
    behind = steps[count - 1 :] if addend is not None else steps
    slope = relu_slope(behind, 1 if addend is not None else count)
    return count + (slope is not None), attrs.evolve(fusion, slope=slope)


def _addend(steps: Sequence[Step], position: int) -> Blob | None:
    """What a plain sum at a position adds to the first step's result, if nobody else needs that result."""
    first = steps[0].routines[0]
    assert isinstance(first, Accelerated)
    kept, result = first.build.plan.kept, layer_at(steps, 0).tops[0]
    if kept is None or len(steps) <= position or kept & {result.synced_data, result.synced_diff}:
        return None
    last = steps[position].routines[0]
    if not isinstance(last, Eltwise) or not last.plain_sum or not last.packed or result not in last.bottoms:
        return None
    addend = last.bottoms[last.bottoms[0] is result]
    return None if addend.synced_data is result.synced_data else addend


def _folded(steps: Sequence[Step]) -> Step | None:
    """TEST phase: a convolution whose filters take in the normalisation behind it.

    Not where a sum follows: then the normalisation is part of the one pass that the sum needs anyway.
    """
    if len(steps) < 2 or layer_at(steps, 0).layer.phase is not Phase.TEST or not follows_in_place(steps, 1):
        return None
    norm = steps[1].routines[0]
    if not isinstance(norm, BatchNorm) or norm.by_batch:
        return None
    count, fusion = _behind_batch_norm(steps[1:])
    parts = steps[: count + 1]
    if fusion.residual is not None or (norm.build.plan.has_backward and any(part.needs_backward for part in parts)):
        return None
    routine = recreated(parts, attrs.evolve(fusion, batch_norm=norm.layer))
    return joined(parts, [routine], "fused: normalisation folded into the filters")


PATTERNS: dict[type[Routine], Pattern] = {
    BatchNorm: _batch_norm,
    Bias: _with_relu,
    Convolution: _convolution,
    Deconvolution: _with_relu,
    Eltwise: _with_relu,
    InnerProduct: _inner_product,
    Scale: _with_relu,
}
