"""How long a net's steps take, how much they compute meanwhile, and what of it is changing layouts."""

from __future__ import annotations

import time
from typing import Any

import attrs

from cafx.kernel import TRAIN, Net
from cafx.kernel.net import Engine, LayerPlan, Step

MILLI, GIGA = 1e3, 1e9
FLOPS = 2  # a product and a sum
PEAK_SIZE = 2048
PEAK_ROUNDS, PEAK_SECONDS = 10, 1.0


@attrs.define
class Row:
    """One step: milliseconds a pass, and what it does in them.

    Attributes:
        gflop: billions of operations a pass, those of products added up; 0 where there are none.
        gflops: the same a second; None where there are none.
        of_peak: that as a share of the peak.
        reorders: changes of layout a pass.
        reordering: the milliseconds they take, which forward and backward contain.
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
class Timed:
    """What was measured: whole passes, and step by step; and the machine's peak in GFLOP/s."""

    net: str
    engine: str
    iterations: int
    rows: list[Row]
    forward: float
    backward: float
    peak: float | None

    def summary(self) -> dict[str, Any]:
        """The same for a program; times are milliseconds a pass."""
        return attrs.asdict(self)

    def total(self) -> Row:
        """All steps together."""
        gflop, spent = sum(row.gflop for row in self.rows), self.forward + self.backward
        made = Row("total", "", "", self.forward, self.backward, gflop)
        made.reorders = sum(row.reorders for row in self.rows)
        made.reordering = sum(row.reordering for row in self.rows)
        _rate(made, spent, self.peak)
        return made


def measure(net: Net, iterations: int, warmup: int) -> Timed:
    """Time ``iterations`` passes after ``warmup`` others; backward in TRAIN phase only."""
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
        row.gflop = FLOPS * sum(_products(planned, backward) for planned in step.layers) / GIGA
        for field in ("forward", "backward", "reordering"):
            setattr(row, field, getattr(row, field) * MILLI / iterations)
        row.reorders /= iterations
    peak = measure_peak(net.engine) if any(row.gflop for row in rows.values()) else None
    for row in rows.values():
        _rate(row, row.forward + row.backward, peak)
    return Timed(
        net.name, net.engine.name, iterations, list(rows.values()),
        forwards * MILLI / iterations, backwards * MILLI / iterations, peak,
    )  # fmt: skip


def measure_peak(engine: Engine) -> float:
    """GFLOP/s of a large matrix product in the engine's precision: the best of some."""
    run = engine.gemm(PEAK_SIZE)
    best, begun = float("inf"), time.perf_counter()
    for _ in range(PEAK_ROUNDS):
        started = time.perf_counter()
        run()
        engine.synchronize()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - begun > PEAK_SECONDS:
            break
    return FLOPS * PEAK_SIZE**3 / best / GIGA


def _rate(row: Row, spent: float, peak: float | None) -> None:
    """Operations a second, from milliseconds; and what that is of the peak."""
    if row.gflop and spent and peak:
        row.gflops = row.gflop * MILLI / spent
        row.of_peak = row.gflops / peak


def _products(planned: LayerPlan, backward: bool) -> int:
    """Products a pass: as many as forward for each of the two gradients, where they are wanted."""
    layer = planned.layer
    products = 1
    if backward and planned.needs_backward:
        products += any(layer.param_propagate_down) + any(planned.propagate_down)
    return products * layer.multiply_adds(list(planned.bottoms))


def _pass(net: Net, rows: dict[Step, Row], *, forward: bool) -> float:
    steps = net.program.steps if forward else [step for step in reversed(net.program.steps) if step.needs_backward]
    reorders = net.engine.conversions
    begun = time.perf_counter()
    for step in steps:
        count, seconds = reorders()
        started = time.perf_counter()
        if forward:
            step.forward()
        else:
            step.backward()
        net.engine.synchronize()
        lasted = time.perf_counter() - started
        row = rows[step]
        if forward:
            row.forward += lasted
        else:
            row.backward += lasted
        after = reorders()
        row.reorders += after[0] - count
        row.reordering += after[1] - seconds
    return time.perf_counter() - begun


def _types(step: Step) -> str:
    return "+".join(planned.layer.type for planned in step.layers)
