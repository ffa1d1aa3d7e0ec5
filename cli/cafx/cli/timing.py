"""Duration, arithmetic and memory-layout changes of each step of a net."""

from __future__ import annotations

import time
from typing import Any

import attrs

from cafx.kernel import TRAIN, Net
from cafx.kernel.net import Engine, LayerPlan, Step

MILLI, GIGA = 1e3, 1e9
FLOPS = 2
"""Operations per multiply-add."""
PEAK_SIZE = 2048
"""Rows of the square matrices whose product measures the peak."""
PEAK_ROUNDS, PEAK_SECONDS = 10, 1.0
"""Limits of that measurement."""


@attrs.define
class Row:
    """Measurements of one step.

    Attributes:
        name, type, routine: the layer, or the layers of a fusion, and what ran them.
        forward, backward: milliseconds per pass.
        gflop: nominal operations of multiply-adds per pass, in billions; 0 if there are none.
        gflops: billions of operations per second; None if there are none.
        of_peak: ``gflops`` as a fraction of the peak.
        reorders: number of memory-layout changes per pass.
        reordering: their milliseconds per pass, included in ``forward`` and ``backward``.
    """

    name: str
    type: str
    routine: str
    forward: float = 0.0
    backward: float = 0.0
    gflop: float = 0.0
    gflops: float | None = None
    of_peak: float | None = None
    reorders: float = 0.0
    reordering: float = 0.0


@attrs.frozen
class Timing:
    """Measurements of a net.

    Attributes:
        net, engine: names.
        iterations: number of timed passes.
        rows: one per step.
        forward, backward: milliseconds per whole pass.
        peak: GFLOP/s of a large matrix product; None if no step has multiply-adds.
    """

    net: str
    engine: str
    iterations: int
    rows: list[Row]
    forward: float
    backward: float
    peak: float | None

    def summary(self) -> dict[str, Any]:
        """All values as a dict, for ``--json``."""
        return attrs.asdict(self)

    def total(self) -> Row:
        """The sum of all steps, with the durations of whole passes."""
        gflop, spent = sum(row.gflop for row in self.rows), self.forward + self.backward
        total = Row("total", "", "", self.forward, self.backward, gflop)
        total.reorders = sum(row.reorders for row in self.rows)
        total.reordering = sum(row.reordering for row in self.rows)
        _set_rate(total, spent, self.peak)
        return total


def measure(net: Net, iterations: int, warmup: int) -> Timing:
    """Time the passes of a net.

    The backward pass is timed in TRAIN phase only.

    Args:
        net: the net.
        iterations: number of passes to time.
        warmup: number of untimed passes before them.
    """
    backward = net.phase is TRAIN and any(step.needs_backward for step in net.program.steps)
    for _ in range(max(warmup, 0)):
        net.run_forward()
        if backward:
            net.run_backward()
    rows = {step: Row(step.name, _types(step), step.run_by) for step in net.program.steps}
    forwards = backwards = 0.0
    for _ in range(iterations):
        forwards += _pass(net, rows, forward=True)
        if backward:
            net.clear_param_diffs()
            backwards += _pass(net, rows, forward=False)
    for step, row in rows.items():
        row.gflop = FLOPS * sum(_multiply_adds(planned, backward) for planned in step.layers) / GIGA
        for field in ("forward", "backward", "reordering"):
            setattr(row, field, getattr(row, field) * MILLI / iterations)
        row.reorders /= iterations
    peak = measure_peak(net.engine) if any(row.gflop for row in rows.values()) else None
    for row in rows.values():
        _set_rate(row, row.forward + row.backward, peak)
    return Timing(
        net=net.name,
        engine=net.engine.name,
        iterations=iterations,
        rows=list(rows.values()),
        forward=forwards * MILLI / iterations,
        backward=backwards * MILLI / iterations,
        peak=peak,
    )


def measure_peak(engine: Engine) -> float:
    """GFLOP/s of a large matrix product in the engine's precision: the best of several runs."""
    run = engine.gemm(PEAK_SIZE)
    best, began = float("inf"), time.perf_counter()
    for _ in range(PEAK_ROUNDS):
        started = time.perf_counter()
        run()
        engine.synchronize()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - began > PEAK_SECONDS:
            break
    return FLOPS * PEAK_SIZE**3 / best / GIGA


def _set_rate(row: Row, spent: float, peak: float | None) -> None:
    """Set operations per second, given milliseconds per pass, and their fraction of the peak."""
    if row.gflop and spent and peak:
        row.gflops = row.gflop * MILLI / spent
        row.of_peak = row.gflops / peak


def _multiply_adds(planned: LayerPlan, backward: bool) -> int:
    """Multiply-adds per pass: parameter and input gradients cost as much as the forward pass each."""
    layer = planned.layer
    products = 1
    if backward and planned.needs_backward:
        products += any(layer.param_propagate_down) + any(planned.propagate_down)
    return products * layer.multiply_adds(list(planned.bottoms))


def _pass(net: Net, rows: dict[Step, Row], *, forward: bool) -> float:
    steps = net.program.steps if forward else [step for step in reversed(net.program.steps) if step.needs_backward]
    conversions = net.engine.conversions
    began = time.perf_counter()
    for step in steps:
        count, seconds = conversions()
        started = time.perf_counter()
        if forward:
            step.forward()
        else:
            step.backward()
        net.engine.synchronize()
        elapsed = time.perf_counter() - started
        row = rows[step]
        if forward:
            row.forward += elapsed
        else:
            row.backward += elapsed
        after = conversions()
        row.reorders += after[0] - count
        row.reordering += after[1] - seconds
    return time.perf_counter() - began


def _types(step: Step) -> str:
    return "+".join(planned.layer.type for planned in step.layers)
