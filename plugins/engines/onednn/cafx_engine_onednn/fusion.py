"""Fusion: layers that follow another in place become part of its primitive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from cafx.kernel import Phase, Unsupported
from cafx.kernel.net import LayerPlan, Step

from .api.constants import Alg
from .routine import Accelerated, Fusion, Residual
from .routines.batch_norm import BatchNorm
from .routines.convolution import Convolution
from .routines.eltwise import Eltwise
from .routines.pooling import Pooling
from .routines.weighted import Weighted


def fuse(steps: Sequence[Step]) -> list[Step]:
    """The steps with every fusion that applies, the longest at each position."""
    fused: list[Step] = []
    position = 0
    while position < len(steps):
        step = _fused_at(steps[position:])
        fused.append(step)
        position += len(step.layers)
    return fused


def _fused_at(steps: Sequence[Step]) -> Step:
    """The first step, with what follows as far as it can be fused."""
    for kind, pattern in PATTERNS.items():
        if isinstance(steps[0].routines[0], kind):
            try:
                step = pattern(steps)
            except Unsupported:
                continue
            if step is not None:
                return step
    return steps[0]


def _step(parts: Sequence[Step], routines: Sequence[Accelerated], note: str) -> Step:
    """One step that stands for several."""
    notes = [note, *(routine.note for routine in routines)]
    return Step(tuple(part.layers[0] for part in parts), tuple(routines), "; ".join(filter(None, notes)))


def _recreated(parts: Sequence[Step], fusion: Fusion) -> Accelerated:
    """The first step's routine, created again to compute what the others compute, too."""
    routine = parts[0].routines[0]
    assert isinstance(routine, Accelerated)
    needed = any(part.needs_backward for part in parts)
    return type(routine)(routine.build, routine.planned, attrs.evolve(fusion, needs_backward=needed))


def _layer(steps: Sequence[Step], position: int) -> LayerPlan:
    return steps[position].layers[0]


def _follows_in_place(steps: Sequence[Step], position: int) -> bool:
    """Whether a step works in place on what the first one writes."""
    if len(steps) <= position:
        return False
    step, first = _layer(steps, position), _layer(steps, 0)
    single = len(first.tops) == len(step.tops) == len(step.bottoms) == 1
    return single and step.bottoms[0] is step.tops[0] is first.tops[0]


def _relu_slope(steps: Sequence[Step], position: int) -> float | None:
    """The slope of a ReLU in place at a position; None if there is none that can be fused."""
    if not _follows_in_place(steps, position) or _layer(steps, position).layer.type != "ReLU":
        return None
    slope: float = steps[position].routines[0].layer.options.negative_slope
    return slope if slope >= 0 and isinstance(steps[position].routines[0], Accelerated) else None


def _weighted(steps: Sequence[Step]) -> Step | None:
    """Convolution or inner product with a ReLU, whose gradient is computed after a max pooling behind it."""
    slope = _relu_slope(steps, 1)
    if slope is None:
        return None
    if len(steps) > 2 and _is_max_pooling_of(steps[2], steps[0]):
        weighted = _recreated(steps[:2], Fusion(slope=slope, relu_gradient_elsewhere=True))
        pooling = _recreated(steps[2:3], Fusion(slope=slope))
        return _step(steps[:3], [weighted, pooling], "fused ReLU; ReLU gradient computed after pooling")
    return _step(steps[:2], [_recreated(steps[:2], Fusion(slope=slope))], "fused ReLU")


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
    """Batch normalisation with the Scale and the ReLU behind it."""
    count, fusion = _scale_and_relu(steps, 1)
    if count == 1:
        return None
    return _step(steps[:count], [_recreated(steps[:count], fusion)], "fused: one primitive")


def _scale_and_relu(steps: Sequence[Step], count: int) -> tuple[int, Fusion]:
    """How many steps a Scale and a ReLU at a position extend a normalisation to, and the fusion."""
    fusion = Fusion()
    if (
        _follows_in_place(steps, count)
        and _layer(steps, count).layer.type == "Scale"
        and _is_per_channel(_layer(steps, count))
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
    return _step(steps[:2], [_recreated(steps[:2], Fusion(slope=slope))], "fused ReLU")


def _folded(steps: Sequence[Step]) -> Step | None:
    """TEST phase: a convolution whose weights take in the normalisation behind it."""
    if len(steps) < 2 or _layer(steps, 0).layer.phase is not Phase.TEST or not _follows_in_place(steps, 1):
        return None
    norm = steps[1].routines[0]
    if not isinstance(norm, BatchNorm) or not norm.layer.uses_running_statistics:
        return None
    count, fusion = _scale_and_relu(steps, 2)
    fusion = attrs.evolve(fusion, batch_norm=norm.layer)
    if norm.build.plan.has_backward and any(step.needs_backward for step in steps[:count]):
        return None
    if fusion.slope is None and (step := _with_residual(steps, count, fusion)):
        return step
    return _step(steps[:count], [_recreated(steps[:count], fusion)], "fused: normalisation folded into the weights")


def _with_residual(steps: Sequence[Step], count: int, fusion: Fusion) -> Step | None:
    """The same with a sum behind it, of its result, which nobody else reads, and another blob; and a ReLU."""
    first = steps[0].routines[0]
    assert isinstance(first, Accelerated)
    plan = first.build.plan
    if len(steps) <= count or plan.has_backward or plan.kept is None:
        return None
    result, last = _layer(steps, 0).tops[0], steps[count].routines[0]
    if not isinstance(last, Eltwise) or not last.plain_sum or result not in last.bottoms:
        return None
    addend, top = last.bottoms[last.bottoms[0] is result], last.tops[0]
    if result.synced_data in plan.kept or addend is result or top in last.bottoms:
        return None
    slope = _relu_slope(steps[count:], 1)
    parts = steps[: count + 1 + (slope is not None)]
    try:
        routine = _recreated(parts, attrs.evolve(fusion, slope=slope, residual=Residual(addend, top)))
    except Unsupported:
        return None
    return _step(parts, [routine], "fused: normalisation folded into the weights, sum as post-op")


def _convolution(steps: Sequence[Step]) -> Step | None:
    return _folded(steps) or _weighted(steps)


PATTERNS: dict[type[Accelerated], Callable[[Sequence[Step]], Step | None]] = {
    Convolution: _convolution,
    Weighted: _weighted,
    BatchNorm: _batch_norm,
    Eltwise: _sum,
}
