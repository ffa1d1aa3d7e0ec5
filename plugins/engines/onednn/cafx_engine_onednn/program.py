"""Programs whose forward pass in inference is a few foreign calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import attrs

from cafx.kernel.blob import SyncedArray, SyncedState
from cafx.kernel.net import Program, Step

from . import native
from .recording import Recording
from .routine import Accelerated
from .threads import use_threads

Run = Callable[[], object]
MOST_DOUBTS = 3
"""After so many passes in a row with doubtful results, steps are run one by one."""


@attrs.frozen(eq=False)
class Entry:
    """A step of a forward pass.

    Attributes:
        step: the step.
        runs: what it runs.
        losses: what adds its losses to the objective.
        expired: copies whose memory belongs to others afterwards.
    """

    step: Step
    runs: Sequence[Run]
    losses: Sequence[Run]
    expired: Sequence[Any]

    def run(self) -> None:
        """Run all of it."""
        for each in (*self.runs, *self.losses):
            each()
        for each in self.expired:
            each.storage.discard(each.place)


class JoinedProgram(Program):
    """A program that joins the calls of neighbouring steps, if there is no backward pass.

    The first pass runs step by step, and so do passes from or to a layer in between, and observed ones.
    """

    _joined: JoinedPass | None = None

    def schedule(self, runs: Iterable[tuple[Step, list[Run]]], *, backward: bool) -> list[Run]:
        """One run for a forward pass in inference."""
        if backward or self.plan.has_backward or native.unavailable():
            return super().schedule(runs, backward=backward)
        self._joined = JoinedPass([self._entry(*each) for each in enumerate(runs)], self.plan.kept)
        return [self._joined]

    def _entry(self, index: int, run: tuple[Step, list[Run]]) -> Entry:
        step, calls = run
        count, expired = len(step.routines), self.memory.expired[index] if self.memory.expired else ()
        return Entry(step, calls[:count], calls[count : len(calls) - len(expired)], expired)

    def _release_routines(self) -> None:
        super()._release_routines()
        if self._joined is not None:
            self._joined.forget()


class JoinedPass:
    """A forward pass.

    Args:
        entries: its steps.
        kept: the arrays whose values must survive it; None for all.
    """

    def __init__(self, entries: Sequence[Entry], kept: frozenset[SyncedArray] | None) -> None:
        self._entries, self._kept = entries, kept
        self._parts: list[Run] | None = None

    def forget(self) -> None:
        """Write the calls down again after the next pass."""
        self._parts = None

    def __call__(self) -> None:
        """Run it."""
        if self._parts is None:
            for entry in self._entries:
                entry.run()
            self._parts = list(self._joined())
        else:
            for run in self._parts:
                run()

    def _joined(self) -> Iterable[Run]:
        """The longest ranges whose calls are always the same, and the steps between them."""
        start = 0
        while start < len(self._entries):
            end, recording = self._longest(start)
            if recording is None:
                yield self._entries[start].run
                start += 1
                continue
            entries = self._entries[start:end]
            yield JoinedSteps(entries, recording, self._needed(start, end, recording))
            yield from entries[-1].losses
            start = end

    def _longest(self, start: int) -> tuple[int, Recording | None]:
        """The end of the longest range that begins at a step, and its recording; None if it is empty."""
        recording: Recording | None = None
        end = start
        for entry in self._entries[start:]:
            routines = [each for each in entry.step.routines if isinstance(each, Accelerated)]
            recording = recording or (Recording(routines[0].build.threads) if routines else None)
            if recording is None or len(routines) < len(entry.step.routines) or not recording.add(routines):
                break
            end += 1
            if entry.losses:
                break
        return end, recording if recording is not None and len(recording.rows) > 1 else None

    def _needed(self, start: int, end: int, recording: Recording) -> list[SyncedArray]:
        """What the range writes for others to read."""
        others = [*self._entries[:start], *self._entries[end:]]
        read = {bottom.synced_data for entry in others for bottom in entry.step.bottoms}
        return [each for each in recording.current if self._kept is None or each in self._kept or each in read]


class JoinedSteps:
    """Steps whose calls are made by one foreign call; one by one where the results are doubtful.

    Args:
        entries: the steps.
        recording: their calls.
        needed: what others read of what they write.
    """

    def __init__(self, entries: Sequence[Entry], recording: Recording, needed: Sequence[SyncedArray]) -> None:
        self._entries, self._recording, self._table = entries, recording, recording.table()
        expired = {(each.storage, each.place) for entry in entries for each in entry.expired}
        self._discards = [partial(each.discard, place) for each, place in expired if each not in recording.current]
        left = {
            each: {place: array for place, array in recording.current[each].items() if (each, place) not in expired}
            for each in needed
        }
        self._results = [(each.assume, SyncedState(arrays, False)) for each, arrays in left.items() if arrays]
        self._doubtful = 0

    def __call__(self) -> None:
        """Run them."""
        if self._doubtful < MOST_DOUBTS and self._prepare():
            self._table.run()
            doubts = [doubt() for doubt in self._recording.doubts]
            if not any(doubts):
                self._doubtful = 0
                self._finish()
                return
            self._doubtful += 1
        self._one_by_one()

    def _prepare(self) -> bool:
        """Bring what comes from outside up to date; False if something has to be done in another way."""
        recording = self._recording
        use_threads(recording.threads)
        for holds, place, operand, early in recording.reads:
            if not holds(place, operand.array):
                if not early:
                    return False
                operand.refresh()
        if not all(condition() for condition in recording.conditions):
            return False
        for program in recording.programs:
            program.point()
        return True

    def _finish(self) -> None:
        """Declare what was written."""
        for assume, state in self._results:
            assume(state)
        for discard in self._discards:
            discard()

    def _one_by_one(self) -> None:
        *others, last = self._entries
        for entry in others:
            entry.run()
        attrs.evolve(last, losses=()).run()
