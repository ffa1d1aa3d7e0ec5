"""Rewrites of a schedule: layers in place behind another become part of its primitive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cafx.kernel import Phase, Unsupported
from cafx.kernel.net import Step

from .api.constants import Alg
from .routine import Accelerated, several
from .routines.batch_norm import BatchNorm
from .routines.convolution import Convolution
from .routines.eltwise import Eltwise
from .routines.pooling import Pooling
from .routines.weighted import Weighted

if TYPE_CHECKING:
    from .engine import OneDNN


def fuse(engine: OneDNN, steps: Sequence[Step]) -> list[Step]:
    """The schedule with every fusion that applies, the longest at each place."""
    fused: list[Step] = []
    waiting = list(steps)
    while waiting:
        count, step = _first_fusion(engine, waiting)
        fused.append(step)
        waiting = waiting[count:]
    return fused


def _first_fusion(engine: OneDNN, steps: Sequence[Step]) -> tuple[int, Step]:
    first = steps[0]
    for kind, rule in RULES.items():
        if isinstance(first.object, kind):
            try:
                found = rule(engine, steps)
            except Unsupported:
                continue
            if found:
                return found
    return 1, first


def _join(parts: Sequence[Step], routines: Sequence[Accelerated], note: str) -> tuple[int, Step]:
    """One step that stands for several."""
    first, needed = parts[0], any(part.needs_backward for part in parts)
    made = [first.top[0], *(part.top[0] for part in parts)]
    outside = [bottom for part in parts[1:] for bottom in part.bottom if bottom not in made]
    forward = [routine.forward for routine in routines]
    backward = [routine.backward for routine in reversed(routines)]
    return len(parts), Step(
        first.layer, first.index, [*first.bottom, *outside], parts[-1].top, first.propagate_down, needed,
        several(forward), several(backward), first.routine, "; ".join(filter(None, (note, first.note))),
        tuple(parts), list(routines),
    )  # fmt: skip


def _unit(steps: Sequence[Step], behind: int) -> float | None:
    """The slope of a ReLU in place at a position, working on what the first step makes; or None."""
    if len(steps) <= behind or not _in_place(steps, behind) or steps[behind].layer.type != "ReLU":
        return None
    slope: float = steps[behind].layer.options.negative_slope
    return slope if slope >= 0 and isinstance(steps[behind].object, Accelerated) else None


def _in_place(steps: Sequence[Step], behind: int) -> bool:
    """Whether a step works in place on what the first one makes, and is next to those before."""
    if len(steps) <= behind:
        return False
    step, first = steps[behind], steps[0]
    alone = len(first.top) == len(step.top) == len(step.bottom) == 1
    return alone and step.bottom[0] is step.top[0] is first.top[0]


def _remade(engine: OneDNN, parts: Sequence[Step], **fused: Any) -> Any:
    """The first step's routine, made again to do what the others do besides."""
    first = parts[0]
    training = any(part.needs_backward for part in parts)
    return type(first.object)(engine, first.layer, first, training=training, **fused)


def _weighted(engine: OneDNN, steps: Sequence[Step]) -> tuple[int, Step] | None:
    """Convolution or inner product with a unit; before a maximum, the unit's gradient goes behind it."""
    slope = _unit(steps, 1)
    if slope is None:
        return None
    pool = steps[2] if len(steps) > 2 else None
    if (
        pool is not None
        and isinstance(pool.object, Pooling)
        and pool.object.algorithm == Alg.POOLING_MAX
        and pool.bottom[0] is steps[0].top[0]
        and pool.needs_backward
        and pool.propagate_down[0]
    ):
        conv = _remade(engine, steps[:2], slope=slope, masked=True)
        pooled = _remade(engine, steps[2:3], slope=slope)
        return _join(steps[:3], [conv, pooled], "fused: unit as post-op, its gradient behind the pooling")
    return _join(steps[:2], [_remade(engine, steps[:2], slope=slope)], "fused: unit as post-op")


def _normalised(engine: OneDNN, steps: Sequence[Step]) -> tuple[int, Step] | None:
    """Batch normalisation with the Scale and the unit behind it."""
    count, fused = _scale_and_unit(steps, 1)
    if count == 1:
        return None
    return _join(steps[:count], [_remade(engine, steps[:count], **fused)], "fused: one primitive")


def _scale_and_unit(steps: Sequence[Step], count: int) -> tuple[int, dict[str, Any]]:
    """How many steps a Scale and a unit bring a normalisation to, and what it then does besides."""
    fused: dict[str, Any] = {}
    if _in_place(steps, count) and steps[count].layer.type == "Scale" and _by_channel(steps[count]):
        fused["scale"] = steps[count].layer
        count += 1
    if _unit(steps, count) == 0.0:
        fused["unit"] = True
        count += 1
    return count, fused


def _by_channel(step: Step) -> bool:
    """Whether a Scale has one factor a channel, of its own."""
    shape, layer = step.bottom[0].shape, step.layer
    return len(shape) > 1 and bool(layer.blobs) and layer.blobs[0].shape == shape[1:2] and (
        layer.axis(step.bottom[0], layer.options.axis) == 1
    )  # fmt: skip


def _summed(engine: OneDNN, steps: Sequence[Step]) -> tuple[int, Step] | None:
    """A sum with a unit."""
    slope = _unit(steps, 1)
    if slope is None:
        return None
    return _join(steps[:2], [_remade(engine, steps[:2], slope=slope)], "fused: unit as post-op")


def _folded(engine: OneDNN, steps: Sequence[Step]) -> tuple[int, Step] | None:
    """TEST phase: a convolution takes the normalisation behind it into its weights."""
    first = steps[0]
    if len(steps) < 2 or first.layer.phase is not Phase.TEST or not _in_place(steps, 1):
        return None
    norm = steps[1]
    if not isinstance(norm.object, BatchNorm) or not norm.object.layer.uses_running_statistics:
        return None
    count, fused = _scale_and_unit(steps, 2)
    if engine.goes_back and any(step.needs_backward for step in steps[:count]):
        return None
    more = {"slope": 0.0} if fused.pop("unit", False) else {}
    fold = (norm.layer, fused.get("scale"))
    if not more and (found := _sum_behind(engine, steps, count, fold)):
        return found
    routine = _remade(engine, steps[:count], fold=fold, **more)
    return _join(steps[:count], [routine], "fused: normalisation folded into the weights")


def _sum_behind(engine: OneDNN, steps: Sequence[Step], count: int, fold: Any) -> tuple[int, Step] | None:
    """The same with the sum behind it, of its result that nobody else sees and another blob; and a unit."""
    if len(steps) <= count or engine.goes_back or engine.kept is None:
        return None
    made, last = steps[0].top[0], steps[count]
    if not isinstance(last.object, Eltwise) or not last.object.plain_sum or made not in last.bottom:
        return None
    other, top = last.bottom[last.bottom[0] is made], last.top[0]
    if made in engine.kept or other is made or top in last.bottom:
        return None
    slope = _unit(steps[count:], 1)
    more = {} if slope is None else {"slope": slope}
    parts = steps[: count + 1 + (slope is not None)]
    try:
        routine = _remade(engine, parts, fold=fold, sum=(other, top), **more)
    except Unsupported:
        return None
    return _join(parts, [routine], "fused: normalisation folded into the weights, sum as post-op")


def _sliding(engine: OneDNN, steps: Sequence[Step]) -> tuple[int, Step] | None:
    return _folded(engine, steps) or _weighted(engine, steps)


RULES: dict[type[Accelerated], Callable[[OneDNN, Sequence[Step]], tuple[int, Step] | None]] = {
    Convolution: _sliding,
    Weighted: _weighted,
    BatchNorm: _normalised,
    Eltwise: _summed,
}
