"""How long a net's steps take."""

from __future__ import annotations

import time
from typing import Any

import attrs

from cafx.kernel import TRAIN, Net
from cafx.kernel.step import Step

MILLI = 1000.0


@attrs.define
class Row:
    """One step: milliseconds a pass."""

    name: str
    type: str
    routine: str
    forward: float = 0.0
    backward: float = 0.0


@attrs.frozen
class Timed:
    """What was measured: whole passes, and step by step."""

    net: str
    engine: str
    iterations: int
    rows: list[Row]
    forward: float
    backward: float

    def summary(self) -> dict[str, Any]:
        """The same for a program; times are milliseconds a pass."""
        return attrs.asdict(self)


def measure(net: Net, iterations: int, warmup: int) -> Timed:
    """Time ``iterations`` passes after ``warmup`` others; backward in TRAIN phase only."""
    backward = net.phase is TRAIN and any(step.needs_backward for step in net.steps)
    for _ in range(max(warmup, 0)):
        net.run_forward()
        if backward:
            net.run_backward()
    rows = {step: Row(step.name, _types(step), step.routine) for step in net.steps}
    forwards = backwards = 0.0
    for _ in range(iterations):
        net.loss = 0.0
        forwards += _pass(net, rows, forward=True)
        if backward:
            net.clear_param_diffs()
            backwards += _pass(net, rows, forward=False)
    for row in rows.values():
        row.forward *= MILLI / iterations
        row.backward *= MILLI / iterations
    return Timed(
        net.name, net.engine.name, iterations, list(rows.values()),
        forwards * MILLI / iterations, backwards * MILLI / iterations,
    )  # fmt: skip


def _pass(net: Net, rows: dict[Step, Row], *, forward: bool) -> float:
    steps = net.steps if forward else [step for step in reversed(net.steps) if step.needs_backward]
    synchronize = getattr(net.engine, "synchronize", None)
    begun = time.perf_counter()
    for step in steps:
        started = time.perf_counter()
        if forward:
            step.forward()
        else:
            step.backward()
        if synchronize is not None:
            synchronize()
        lasted = time.perf_counter() - started
        row = rows[step]
        if forward:
            row.forward += lasted
        else:
            row.backward += lasted
    return time.perf_counter() - begun


def _types(step: Step) -> str:
    return "+".join(part.layer.type for part in step.parts) if step.parts else step.layer.type
