"""SIGINT and SIGHUP while a solver runs: stop with a snapshot, snapshot and go on."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cafx.kernel import Action, Solver

AT_WORK = "\nstopping with a snapshot after this iteration; the same signal again stops at once\n"
EFFECTS = {"stop": Action.STOP, "snapshot": Action.SNAPSHOT, "none": Action.NONE}


class Asked:
    """What signals asked for and the solver has not yet done. A second stop is at once."""

    def __init__(self, effects: Mapping[int, Action], quiet: bool = False) -> None:
        self.effects = effects
        self.quiet = quiet
        self.snapshot = False
        self.stop = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler: notes the wish, which is obeyed between two iterations."""
        action = self.effects[number]
        if action is Action.STOP and self.stop:
            raise KeyboardInterrupt
        if action is Action.STOP:
            self.stop = True
            self.tell(AT_WORK)
        self.snapshot = self.snapshot or action is Action.SNAPSHOT

    def tell(self, text: str) -> None:
        """Say it past all buffers, which a handler may have caught half filled."""
        if not self.quiet:
            with contextlib.suppress(OSError):  # standard error may be closed, as after a hang-up
                os.write(2, text.encode())

    def take(self) -> Action:
        """The next thing to do. A stop stays asked for, since a test it interrupts asks again."""
        if self.stop:
            return Action.STOP
        if self.snapshot:
            self.snapshot = False
            return Action.SNAPSHOT
        return Action.NONE


@contextmanager
def obey_signals(solver: Solver, effects: Mapping[str, str], quiet: bool = False) -> Iterator[None]:
    """Let signals, by name, have these effects on ``solver``; what was before is put back."""
    numbers = {getattr(signal, name): EFFECTS[effect] for name, effect in effects.items() if hasattr(signal, name)}
    asked = Asked(numbers, quiet)
    before: dict[int, Any] = {number: signal.signal(number, asked.hear) for number in numbers}
    solver.action = asked.take
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
