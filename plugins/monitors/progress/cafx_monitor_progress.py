"""progress: how training goes, on the terminal; plain lines where there is no terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from cafx.kernel import Solver, hookimpl
from cafx.kernel.net import learnable

REFRESH = 0.1
SILENCE = 10.0
RECENT = 20.0
NARROW = 80
MOST_SHOWN = 10


class Progress:
    """A bar with iteration, loss, learning rate, images/s and time left; tests as lines above it.

    Written to standard error. Without a terminal there is a line every ``display`` iterations, or
    every ten seconds where nothing is displayed.

    Args:
        target: unused.
        console: where to write, for tests.
    """

    def __init__(self, target: str = "", console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.bar: Bar | None = None
        self.task = TaskID(0)
        self.marks: list[tuple[float, int]] = []
        self.images = 0
        self.shown = self.drawn = 0.0

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Say what is trained, and begin."""
        net, options = solver.net, solver.options
        parameters = sum(parameter.blob.count_ for parameter in learnable(net.parameters))
        self.images = batch_size(net) * options.iter_size
        self.marks = [(time.monotonic(), solver.iter)]
        self.shown = time.monotonic()
        self._say(
            f"Training {net.name or 'the net'}: {parameters:,} parameters, {options.type}, "
            f"{self.images} images an iteration, engine {net.engine.name}, "
            f"iterations {solver.iter} to {options.max_iter}"
        )
        if self.console.is_terminal and self.bar is None:
            self._open(solver)

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Move the bar, or write a line now and then."""
        now = time.monotonic()
        self.marks.append((now, solver.iter))
        while len(self.marks) > 2 and now - self.marks[1][0] > RECENT:
            del self.marks[0]
        if self.bar is not None:
            if now - self.drawn >= REFRESH or solver.iter == solver.options.max_iter:
                self.drawn = now
                self.bar.update(self.task, completed=solver.iter, told=self._told(solver, rate))
        elif self._line_now(solver, now):
            self.shown = now
            self._say(f"iteration {solver.iter}/{solver.options.max_iter}  {self._told(solver, rate)}")

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """The scores, in a line that stays."""
        net = f" {index}" if len(solver.test_nets) > 1 else ""
        told = "  ".join(f"{name} {_number(value)}" for name, value in scores.items())
        self._say(f"iteration {solver.iter}  test{net}: {told}")

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Where it is."""
        self._say(f"iteration {solver.iter}  snapshot: {weights}")

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Leave the bar where it stands."""
        if self.bar is not None:
            self.bar.update(self.task, completed=solver.iter)
            self.bar.stop()
            self.bar = None

    def _open(self, solver: Solver) -> None:
        self.bar = Bar(
            BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[told]}"),
            console=self.console,
        )  # fmt: skip
        self.task = self.bar.add_task("train", total=solver.options.max_iter, completed=solver.iter, told="")
        self.bar.start()

    def _line_now(self, solver: Solver, now: float) -> bool:
        every = solver.options.display
        if every:
            return bool(solver.iter % every == 0)
        return now - self.shown >= SILENCE

    def _told(self, solver: Solver, rate: float) -> str:
        speed = self._speed()
        left = (solver.options.max_iter - solver.iter) / speed if speed else 0.0
        if self.bar is not None and self.console.width < NARROW:
            return f"loss {solver.smoothed_loss:.4g}  {duration(left)} left"
        return (
            f"loss {solver.smoothed_loss:.4g}  lr {rate:.3g}  "
            f"{speed * self.images:,.0f} images/s  {duration(left)} left"
        )

    def _speed(self) -> float:
        """Iterations a second of late."""
        (start, first), (end, last) = self.marks[0], self.marks[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def batch_size(net: Any) -> int:
    """Images in a batch: the first axis of what the first data layer makes."""
    for bottoms, tops in zip(net.bottoms, net.tops, strict=True):
        if not bottoms and tops and tops[0].shape:
            return int(tops[0].shape[0])
    return 1


def duration(seconds: float) -> str:
    """``3:07`` or ``2:03:07``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(value: Any) -> str:
    """A score; the first few of several."""
    values = value.reshape(-1)
    if values.size == 1:
        return f"{float(values[0]):.4g}"
    more = [f"… {values.size:,} values"] if values.size > MOST_SHOWN else []
    return "[" + ", ".join([*(f"{x:.4g}" for x in values[:MOST_SHOWN]), *more]) + "]"
