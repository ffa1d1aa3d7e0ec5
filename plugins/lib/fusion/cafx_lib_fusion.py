"""What engines share to join the steps of a net: the search for fusions, and what follows a step in place.

An engine describes its fusions as patterns. A pattern looks at the steps from one position on and returns the step
that stands for some of them, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from cafx.kernel import Unsupported
from cafx.kernel.net import LayerPlan, Routine, Step

Pattern = Callable[[Sequence[Step]], Step | None]


def fuse(steps: Sequence[Step], patterns_for: Callable[[Routine], Iterable[Pattern]]) -> list[Step]:
    """The steps with every fusion that applies, from the first step on.

    Args:
        steps: one step per layer.
        patterns_for: the patterns to try where a routine is the first one, in order. One that raises
            `Unsupported` does not apply.

    Returns:
        The fused steps, and those that remain.
    """
    fused: list[Step] = []
    position = 0
    while position < len(steps):
        step = _fused_at(steps[position:], patterns_for)
        fused.append(step)
        position += len(step.layers)
    return fused


def _fused_at(steps: Sequence[Step], patterns_for: Callable[[Routine], Iterable[Pattern]]) -> Step:
    """The first step, with what follows as far as it can be fused."""
    for pattern in patterns_for(steps[0].routines[0]):
        try:
            step = pattern(steps)
        except Unsupported:
            continue
        if step is not None:
            return step
    return steps[0]


def joined(parts: Sequence[Step], routines: Sequence[Routine], note: str) -> Step:
    """One step that stands for several.

    Args:
        parts: the steps, of one layer each.
        routines: what runs them.
        note: what was fused; the routines' notes follow it.
    """
    notes = [note, *(routine.note for routine in routines)]
    return Step(tuple(part.layers[0] for part in parts), tuple(routines), "; ".join(filter(None, notes)))


def recreated(parts: Sequence[Step], fusion: Any) -> Any:
    """The first step's routine, created again to compute what the others compute, too.

    Args:
        parts: the steps that it takes in.
        fusion: the engine's record of what it is to compute besides; ``needs_backward`` is set here.

    Raises:
        Unsupported: it cannot.
    """
    routine = parts[0].routines[0]
    needed = any(part.needs_backward for part in parts)
    kind: Any = type(routine)
    return kind(routine.compilation, routine.planned, attrs.evolve(fusion, needs_backward=needed))


def layer_at(steps: Sequence[Step], position: int) -> LayerPlan:
    """The layer of a step."""
    return steps[position].layers[0]


def follows_in_place(steps: Sequence[Step], position: int) -> bool:
    """Whether a step works in place on what the first one writes."""
    if len(steps) <= position:
        return False
    step, first = layer_at(steps, position), layer_at(steps, 0)
    single = len(first.tops) == len(step.tops) == len(step.bottoms) == 1
    return single and step.bottoms[0] is step.tops[0] is first.tops[0]


def relu_slope(steps: Sequence[Step], position: int) -> float | None:
    """The slope of a ReLU in place at a position, if there is one and it is not negative."""
    if not follows_in_place(steps, position) or layer_at(steps, position).layer.type != "ReLU":
        return None
    slope: float = layer_at(steps, position).layer.options.negative_slope
    return slope if slope >= 0 else None
