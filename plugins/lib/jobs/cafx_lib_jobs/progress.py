"""Progress of a job over all its workers."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from cafx_lib_jobs.task import Failure, Outcome

SECONDS = 30.0
"""Time between two lines, if standard error is not a terminal."""


class Progress:
    """A bar on a terminal, else a line from time to time, on standard error; used in a ``with`` block.

    Args:
        label: what is done, e.g. ``converting``.
        total: number of records.
        unit: what a record is, in the plural.

    Attributes:
        done, bad: records that are finished, and those among them that are bad.
    """

    def __init__(self, label: str, total: int, unit: str = "images") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self.bad = 0
        self._fresh = 0
        self._start = self._told = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=self.total, label=self.label, file=sys.stderr, item_show_func=lambda _: self.rate()
            )
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def resumed(self, finished: int, tasks: int) -> None:
        """Tell that an earlier run has finished some of the tasks."""
        click.echo(f"resuming: {finished} of {tasks} slices are finished", err=True)

    def again(self, failure: Failure, tasks: int) -> None:
        """Tell that a task has failed and is tried again."""
        click.echo(f"slice {failure.number + 1} of {tasks}: {failure.reason}; trying again", err=True)

    def add(self, outcome: Outcome, count: int) -> None:
        """Count a finished task of ``count`` records."""
        self.done, self.bad = self.done + count, self.bad + len(outcome.report.bad)
        self._fresh += 0 if outcome.reused else count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._told > SECONDS:
            self._told = time.monotonic()
            click.echo(f"{self.label}: {self.done:,} of {self.total:,} {self.unit}, {self.rate()}", err=True)

    def rate(self) -> str:
        """Records per second of this run, those of earlier runs not counted."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        bad = f", {self.bad} bad" if self.bad else ""
        return f"{self._fresh / seconds:,.0f} {self.unit}/s{bad}"

    def summary(self, workers: int) -> str:
        """What this run has done, in a line."""
        seconds = time.monotonic() - self._start
        who = f"{workers} worker{'s' * (workers != 1)}"
        return f"{self.label}: {self._fresh:,} {self.unit} in {seconds:.1f} s, {self.rate()}, {who}"
