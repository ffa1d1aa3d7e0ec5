"""Duration, arithmetic and memory-layout changes of each step of a net."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import attrs

from cafx.cli import bounds
from cafx.cli.bounds import FLOPS, GIGA, Peaks, Work
from cafx.kernel import TRAIN, Net
from cafx.kernel.net import NetPlan, Program, Step

MILLI = 1e3


@attrs.define
class Row:
    """Measurements of one step.

    Attributes:
        name, type, routine: the layer, or the layers of a fusion, and what ran them.
        forward, backward: milliseconds per pass.
        gflop: nominal operations of multiply-adds per pass, in billions; 0 if there are none.
        gflops: billions of operations per second; None if there are none.
        of_peak: ``gflops`` as a fraction of the peak.
        gbyte: GB of bottoms, tops and parameters that a pass reads and writes at least.
        gbytes: GB per second; None for a source.
        bound: whether "arithmetic" or "memory" bounds the step; "" for a source.
        of_bound: the time it takes at least as a fraction of the time it took.
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
    gbyte: float = 0.0
    gbytes: float | None = None
    bound: str = ""
    of_bound: float | None = None
    reorders: float = 0.0
    reordering: float = 0.0


@attrs.frozen
class Timing:
    """Measurements of a net.

    Attributes:
        net, engine: names.
        iterations: number of timed passes.
        rows: one per step, in order; where shapes change, one per step of any of the programs that ran.
        forward, backward: milliseconds per whole pass.
        compiling: milliseconds per pass spent reshaping and compiling the net for new shapes, included in ``forward``.
        peak: GFLOP/s of a large matrix product.
        bandwidth: GB/s of a ReLU of a large blob.
    """

    net: str
    engine: str
    iterations: int
    rows: list[Row]
    forward: float
    backward: float
    peak: float
    bandwidth: float
    compiling: float = 0.0

    def summary(self) -> dict[str, Any]:
        """All values as a dict, for ``--json``."""
        return attrs.asdict(self)

    def total(self) -> Row:
        """The sum of all steps, with the durations of whole passes."""
        gflop, spent = sum(row.gflop for row in self.rows), self.forward + self.backward
        total = Row("total", "", "", self.forward, self.backward, gflop)
        total.gbyte = sum(row.gbyte for row in self.rows)
        total.reorders = sum(row.reorders for row in self.rows)
        total.reordering = sum(row.reordering for row in self.rows)
        _set_rates(total, spent, Peaks(self.peak, self.bandwidth))
        return total


def measure(net: Net, iterations: int, warmup: int) -> Timing:
    """Time the passes of a net, whose shapes may change from pass to pass.

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
    watch = _Stopwatch(net, backward)
    forwards = backwards = 0.0
    with watch.watching():
        for _ in range(iterations):
            forwards += watch.timed(net.run_forward)
            if backward:
                net.clear_param_diffs()
                backwards += watch.timed(net.run_backward)
    rows = watch.rows_in_order()
    for row in rows:
        row.gflop *= FLOPS / GIGA / iterations
        row.gbyte /= GIGA * iterations
        for field in ("forward", "backward", "reordering"):
            setattr(row, field, getattr(row, field) * MILLI / iterations)
        row.reorders /= iterations
    peaks = bounds.measure(net.engine)
    for row in rows:
        _set_rates(row, row.forward + row.backward, peaks)
    return Timing(
        net=net.name,
        engine=net.engine.name,
        iterations=iterations,
        rows=rows,
        forward=forwards * MILLI / iterations,
        backward=backwards * MILLI / iterations,
        peak=peaks.gflops,
        bandwidth=peaks.gbytes,
        compiling=watch.compiling * MILLI / iterations,
    )


def _set_rates(row: Row, spent: float, peaks: Peaks) -> None:
    """Set what a step does per second, given its milliseconds per pass, and how near that is to its bound."""
    if not (spent and row.gbyte):
        return
    row.gbytes = row.gbyte * MILLI / spent
    if row.gflop:
        row.gflops = row.gflop * MILLI / spent
        row.of_peak = row.gflops / peaks.gflops
    row.bound, least = peaks.bound(row.gflop, row.gbyte)
    row.of_bound = least * MILLI / spent


class _Stopwatch:
    """Observer of a net that adds up what each step took, in seconds and multiply-adds.

    A step's time begins where the step before it ends, or where the net has been compiled for new shapes in between.

    Args:
        net: the net.
        backward: whether the backward pass is timed too.

    Attributes:
        compiling: seconds spent carrying new shapes through the net and compiling it.
    """

    def __init__(self, net: Net, backward: bool) -> None:
        self.net = net
        self.compiling = 0.0
        self._with_backward = backward
        self._rows: dict[str, tuple[int, Row]] = {}
        self._work: tuple[Any, dict[str, Work]] = (None, {})
        self._started = 0.0
        self._conversions = net.engine.conversions()

    def rows_in_order(self) -> list[Row]:
        """The rows, sorted by first layer."""
        return [row for _, row in sorted(self._rows.values(), key=lambda each: each[0])]

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the net's passes, and its engine's compilations, within a ``with`` block."""
        engine, observer, plain = self.net.engine, self.net.observer, self.net.engine.compile

        def compile_timed(plan: NetPlan) -> Program:
            program, began = plain(plan), self._started
            self._started = time.perf_counter()
            self.compiling += self._started - began
            return program

        self.net.observer = self
        engine.compile = compile_timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            del engine.compile
            self.net.observer = observer

    def timed(self, run: Any) -> float:
        """Seconds of one pass."""
        self._restart()
        began = self._started
        run()
        self.net.engine.synchronize()
        return time.perf_counter() - began

    def forward(self, step: Step) -> None:
        """Add the time since the step before."""
        self._add(step, "forward")

    def backward(self, step: Step) -> None:
        """Likewise."""
        self._add(step, "backward")

    def update(self) -> None:
        """Do nothing: no solver is timed."""

    def _add(self, step: Step, field: str) -> None:
        self.net.engine.synchronize()
        elapsed = time.perf_counter() - self._started
        count, seconds = self.net.engine.conversions()
        name = step.name
        if name not in self._rows:
            self._rows[name] = step.first, Row(name, _types(step), step.run_by)
        row = self._rows[name][1]
        setattr(row, field, getattr(row, field) + elapsed)
        row.reorders += count - self._conversions[0]
        row.reordering += seconds - self._conversions[1]
        if field == "forward":
            work = self._work_of(step)
            row.gflop += work.multiply_adds
            row.gbyte += work.bytes
        self._restart()

    def _restart(self) -> None:
        self._conversions = self.net.engine.conversions()
        self._started = time.perf_counter()

    def _work_of(self, step: Step) -> Work:
        """That of a step at its present shapes, counted once for each program."""
        program, known = self._work
        if program is not self.net.program:
            program, known = self._work = self.net.program, {}
        if step.name not in known:
            known[step.name] = bounds.work_of(step.layers, backward=self._with_backward)
        return known[step.name]


def _types(step: Step) -> str:
    return "+".join(planned.layer.type for planned in step.layers)
