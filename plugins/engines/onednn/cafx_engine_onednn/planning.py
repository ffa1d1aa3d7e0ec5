"""Blocked memory planned from liveness: arrays nobody keeps share one pool, as the kernel's do on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cafx.kernel import Blob
from cafx.kernel.blob import HOST, SyncedArray
from cafx.kernel.net import Step

from .layouts import Blocked
from .planner import Piece, Planner, planning
from .routine import Accelerated

Lives = dict[SyncedArray, tuple[int, int]]


def plan_gradients(steps: Sequence[Step], kept: Sequence[Blob]) -> int:
    """Prepare all passes; diffs share memory, with data that backward does not read. Returns the pool's bytes."""
    order = [step for step in reversed(steps) if step.needs_backward]
    touched = [[blob.synced_diff for blob in (*step.bottom, *step.top)] for step in order]
    lives = _lives([*([] for _ in steps), *touched], {blob.synced_diff for blob in kept})
    _lengthen_aliased(order, lives, len(steps) + len(order))
    planner = Planner(lives, _passing(steps, {blob.synced_data for blob in kept}), len(steps))
    passes = [(step, "forward") for step in steps] + [(step, "backward") for step in order]
    pool, passing = _plan(planner, passes)
    for piece in passing:
        _routines(steps[piece.last])[-1].after_forward(_lapse(piece))
    return pool


def plan_activations(steps: Sequence[Step], kept: Sequence[Blob]) -> int:
    """Prepare all forward passes of a net that never goes back, its data in shared memory."""
    held = {blob.synced_data for blob in kept}
    lives = _lives([[blob.synced_data for blob in (*step.bottom, *step.top)] for step in steps], held)
    return _plan(Planner(lives), [(step, "forward") for step in steps])[0]


def _lives(touched: Iterable[Sequence[SyncedArray]], held: set[SyncedArray]) -> Lives:
    lives: Lives = {}
    for index, arrays in enumerate(touched):
        for array in arrays:
            if array not in held:
                lives[array] = (lives.get(array, (index, index))[0], index)
    return lives


def _lengthen_aliased(order: Sequence[Step], lives: Lives, end: int) -> None:
    """What other arrays lie in lives as long as they do; the last to be written are looked at first."""
    for step in reversed(order):
        for routine in _routines(step):
            for bottom, top in routine.aliases():
                if top in lives:
                    first, last = lives[top]
                    lives[top] = first, max(last, lives[bottom][1] if bottom in lives else end)


def _passing(steps: Sequence[Step], held: set[SyncedArray]) -> set[SyncedArray]:
    """Data that only routines touch whose every access is seen when their calls are prepared."""
    seen: dict[bool, set[SyncedArray]] = {True: set(), False: set()}
    for step in steps:
        routines = _routines(step)
        bound = bool(routines) and all(routine.binds for routine in routines)
        for part in step.parts or [step]:
            seen[bound].update(blob.synced_data for blob in (*part.bottom, *part.top))
    return seen[True] - seen[False] - held


def _plan(planner: Planner, passes: Sequence[tuple[Step, str]]) -> tuple[int, list[Piece]]:
    for array in planner.passing:
        if array.current and all(isinstance(place, Blocked) for place in array.current):
            array.read(HOST)
    for array in (*planner.lives, *planner.passing):
        for place in [place for place in array.arrays if isinstance(place, Blocked)]:
            del array.arrays[place]
            array.current.discard(place)
    with planning(planner):
        for planner.step, (step, way) in enumerate(passes):
            routines = _routines(step)
            for routine in routines if way == "forward" else reversed(routines):
                routine.prepare(way)
    return planner.place()


def _lapse(piece: Piece) -> Callable[[], None]:
    """What is to be done behind the last step that reads a piece: its values are no longer there."""
    synced, place = piece.synced, piece.place

    def run() -> None:
        if synced.arrays.get(place) is piece.array and place in synced.current:
            synced.current.discard(place)
            synced.zero = not synced.current

    return run


def _routines(step: Step) -> list[Accelerated]:
    found = step.object if isinstance(step.object, list) else [step.object]
    return [routine for routine in found if isinstance(routine, Accelerated)]
