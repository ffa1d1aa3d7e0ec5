"""SIGINT, SIGHUP and SIGTERM during training: save a snapshot, or save one and stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cafx.kernel import Action, Solver

STOPPING = "\nSaving a snapshot and stopping after this iteration; {again} again to stop now\n"
EFFECTS = {"stop": Action.STOP, "snapshot": Action.SNAPSHOT, "none": Action.NONE}
DEADLY = 128
"""Added to a signal's number, the exit code of a process that it ended."""


class PendingActions:
    """Actions requested by signals, which the solver takes between two iterations.

    Args:
        effects: the action of each signal, by number.
        quiet: print nothing.

    Attributes:
        stop: whether training was asked to stop.
        terminated: whether SIGTERM asked for it.
    """

    def __init__(self, effects: Mapping[int, Action], quiet: bool = False) -> None:
        self.effects = effects
        self.quiet = quiet
        self.snapshot = False
        self.stop = False
        self.terminated = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: record the action; a second stop raises KeyboardInterrupt, for SIGTERM SystemExit."""
        action = self.effects[number]
        if action is Action.STOP and self.stop:
            raise SystemExit(DEADLY + number) if number == signal.SIGTERM else KeyboardInterrupt
        if action is Action.STOP:
            self.stop = True
            self.terminated = number == signal.SIGTERM
            self._print(STOPPING.format(again="press Ctrl-C" if number == signal.SIGINT else "send the signal"))
        self.snapshot = self.snapshot or action is Action.SNAPSHOT

    def take(self) -> Action:
        """The next action. A stop stays pending, because a test that it interrupts asks again."""
        if self.stop:
            return Action.STOP
        if self.snapshot:
            self.snapshot = False
            return Action.SNAPSHOT
        return Action.NONE

    def _print(self, text: str) -> None:
        """Write unbuffered: a handler may interrupt a write to the buffer."""
        if not self.quiet:
            with contextlib.suppress(OSError, ValueError):  # standard error may be closed after a hang-up
                os.write(sys.stderr.fileno(), text.encode())


@contextmanager
def handle_signals(solver: Solver, effects: Mapping[str, str], quiet: bool = False) -> Iterator[PendingActions]:
    """Install signal handlers for a solver, and restore the previous ones at the end.

    Yields:
        The actions, which tell whether a signal has stopped training.

    Args:
        solver: the solver that acts on signals.
        effects: ``"stop"``, ``"snapshot"`` or ``"none"`` by name of signal; unknown signals are skipped.
        quiet: print nothing when a signal arrives.
    """
    actions = {getattr(signal, name): EFFECTS[effect] for name, effect in effects.items() if hasattr(signal, name)}
    pending = PendingActions(actions, quiet)
    previous: dict[int, Any] = {number: signal.signal(number, pending.handle) for number in actions}
    solver.action = pending.take
    try:
        yield pending
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
