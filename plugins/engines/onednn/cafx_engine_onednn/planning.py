"""Blocked memory planned from liveness: arrays nobody keeps share one pool, as the kernel's do on the host."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import Blob
from cafx.kernel.blob import SyncedArray
from cafx.kernel.step import Step

from .places import Blocked
from .planner import Planner, planning
from .routine import Accelerated

Lives = dict[SyncedArray, tuple[int, int]]


def plan_gradients(steps: Sequence[Step], kept: Sequence[Blob]) -> int:
    """Prepare all passes, the diffs in shared memory; returns the pool's bytes."""
    for step in steps:
        for routine in _routines(step):
            routine.prepare("forward")
    order = [step for step in reversed(steps) if step.needs_backward]
    held = {blob.synced_diff for blob in kept}
    lives = _lives([[blob.synced_diff for blob in (*step.bottom, *step.top)] for step in order], held)
    _lengthen_aliased(order, lives)
    return _plan(lives, [(routine, "backward") for step in order for routine in reversed(_routines(step))])


def plan_activations(steps: Sequence[Step], kept: Sequence[Blob]) -> int:
    """Prepare all forward passes of a net that never goes back, its data in shared memory."""
    held = {blob.synced_data for blob in kept}
    lives = _lives([[blob.synced_data for blob in (*step.bottom, *step.top)] for step in steps], held)
    return _plan(lives, [(routine, "forward") for step in steps for routine in _routines(step)])


def _lives(touched: Sequence[Sequence[SyncedArray]], held: set[SyncedArray]) -> Lives:
    lives: Lives = {}
    for index, arrays in enumerate(touched):
        for array in arrays:
            if array not in held:
                lives[array] = (lives.get(array, (index, index))[0], index)
    return lives


def _lengthen_aliased(order: Sequence[Step], lives: Lives) -> None:
    """What other arrays lie in lives as long as they do; the last to be written are looked at first."""
    for step in reversed(order):
        for routine in _routines(step):
            for bottom, top in routine.aliases():
                if top in lives:
                    first, last = lives[top]
                    lives[top] = first, max(last, lives[bottom][1] if bottom in lives else len(order))


def _plan(lives: Lives, order: Sequence[tuple[Accelerated, str]]) -> int:
    for array in lives:
        for place in [place for place in array.arrays if isinstance(place, Blocked)]:
            del array.arrays[place]
            array.current.discard(place)
    planner = Planner(lives)
    with planning(planner):
        for routine, way in order:
            routine.prepare(way)
    return planner.place()


def _routines(step: Step) -> list[Accelerated]:
    found = step.object if isinstance(step.object, list) else [step.object]
    return [routine for routine in found if isinstance(routine, Accelerated)]
