"""progress: a progress bar on the terminal, or plain lines if there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Solver, hookimpl
from cafx.kernel.net import learnable
from cafx_lib_scores import format_values

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from cafx.conformance.kinds.monitor import MonitorCase

REFRESH = 0.1
"""Seconds between two redraws of the bar."""
LINE_INTERVAL = 10.0
"""Seconds between two lines without a terminal, if ``display`` is 0."""
SPEED_WINDOW = 20.0
"""Seconds over which the speed is averaged."""
NARROW = 80
"""Width below which the bar omits learning rate and speed."""


class Progress:
    """A bar with iteration, loss, learning rate, images per second and time left; test scores as lines above it.

    Output goes to standard error. Without a terminal, a line is printed every ``display`` iterations, or every
    ten seconds if ``display`` is 0.

    Args:
        target: unused.
        console: console to write to, for tests.
    """

    def __init__(self, target: str = "", console: Console | None = None) -> None:
        self.console = console or terminal()
        self.bar: Bar | None = None
        self.task: Any = None
        self.marks: list[tuple[float, int]] = []
        self.images = 0
        self.last_line = self.last_refresh = 0.0

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Print a description of the run and show the bar."""
        net, options = solver.net, solver.options
        parameters = sum(parameter.blob.count_ for parameter in learnable(net.parameters))
        self.images = batch_size(net) * options.iter_size * solver.replicas.communicator.size
        self.marks = [(time.monotonic(), solver.iter)]
        self.last_line = time.monotonic()
        self._print(
            f"Training {net.name or 'the net'}: {parameters:,} parameters, {options.type}, "
            f"{self.images} images per iteration, engine {net.engine.name}, "
            + (
                f"iterations {solver.iter} to {options.max_iter}"
                if solver.iter < options.max_iter
                else "no iterations left"
            )
        )
        if self.console is not None and self.console.is_terminal and self.bar is None:
            self._show_bar(solver)

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Update the bar, or print a line if one is due."""
        now = time.monotonic()
        self.marks.append((now, solver.iter))
        while len(self.marks) > 2 and now - self.marks[1][0] > SPEED_WINDOW:
            del self.marks[0]
        if self.bar is not None:
            if now - self.last_refresh >= REFRESH or solver.iter == solver.options.max_iter:
                self.last_refresh = now
                self.bar.update(self.task, completed=solver.iter, status=self._status(solver, rate))
        elif self._is_line_due(solver, now):
            self.last_line = now
            self._print(f"iteration {solver.iter}/{solver.options.max_iter}  {self._status(solver, rate)}")

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Print the scores above the bar."""
        net = f" {index}" if len(solver.test_nets) > 1 else ""
        text = "  ".join(f"{name} {format_values(value)}" for name, value in scores.items())
        self._print(f"iteration {solver.iter}  test{net}: {text}")

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Print the path of the snapshot."""
        self._print(f"iteration {solver.iter}  snapshot: {weights}")

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Stop the bar at the last iteration."""
        if self.bar is not None:
            self.bar.update(self.task, completed=solver.iter)
            self.bar.stop()
            self.bar = None

    @classmethod
    def cases(cls) -> Iterable[MonitorCase]:
        """There is nothing to choose."""
        from cafx.conformance.kinds.monitor import MonitorCase

        yield MonitorCase("plain")

    def _show_bar(self, solver: Solver) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[status]}"))
        self.bar = Bar(*columns, console=self.console)
        self.task = self.bar.add_task("train", total=solver.options.max_iter, completed=solver.iter, status="")
        self.bar.start()

    def _is_line_due(self, solver: Solver, now: float) -> bool:
        every = solver.options.display
        if every:
            return bool(solver.iter % every == 0)
        return now - self.last_line >= LINE_INTERVAL

    def _status(self, solver: Solver, rate: float) -> str:
        speed = self._speed()
        left = (solver.options.max_iter - solver.iter) / speed if speed else 0.0
        if self.bar is not None and self.bar.console.width < NARROW:
            return f"loss {solver.smoothed_loss:.4g}  {duration(left)} left"
        return (
            f"loss {solver.smoothed_loss:.4g}  lr {rate:.3g}  "
            f"{speed * self.images:,.0f} images/s  {duration(left)} left"
        )

    def _speed(self) -> float:
        """Iterations per second over the last `SPEED_WINDOW` seconds."""
        (start, first), (end, last) = self.marks[0], self.marks[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def _print(self, text: str) -> None:
        if self.console is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self.console.print(text, markup=False, highlight=False)


def terminal() -> Console | None:
    """The terminal that standard error is, or is said to be by ``FORCE_COLOR`` or ``TTY_COMPATIBLE``; None for a file.

    Lines in a file do without rich, whose import takes longer than an iteration.
    """
    stated = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE") == "1"
    if not sys.stderr.isatty() and not stated:
        return None
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def batch_size(net: Any) -> int:
    """Images per batch: the first axis of the first top of the first layer without bottoms; else 1."""
    for bottoms, tops in zip(net.bottoms, net.tops, strict=True):
        if not bottoms and tops and tops[0].shape:
            return int(tops[0].shape[0])
    return 1


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any.

    >>> duration(187), duration(7387)
    ('3:07', '2:03:07')
    """
    minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{remainder:02}" if hours else f"{minutes}:{remainder:02}"
