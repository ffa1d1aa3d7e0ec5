"""Recording: calls that have run twice are recorded as a CUDA graph, and from then on launched as one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs

from cafx.kernel.blob import Place, SyncedArray, SyncedState
from cafx.kernel.net import Step
from cafx_engine_cupy.session import Session

log = logging.getLogger("cafx.cuda")

WARM_UPS = 2
"""Calls before recording: modules are loaded, pools have grown, plans are chosen."""
Run = Callable[[], object]


@attrs.frozen(eq=False)
class Part:
    """One step of a stretch.

    Attributes:
        step: the step.
        runs: what it calls, in order.
        reads, writes: the arrays it uses, in their places, in order.
    """

    step: Step
    runs: Sequence[Run]
    reads: Sequence[tuple[SyncedArray, Place]]
    writes: Sequence[tuple[SyncedArray, Place]]


class Recorder:
    """Records what runs on one GPU; each program has one.

    Args:
        session: the GPU and the stream.
        enabled: False to run everything call by call.

    Attributes:
        refused: the steps that could not be recorded, and why.
    """

    def __init__(self, session: Session, *, enabled: bool = True) -> None:
        self.session, self.enabled = session, enabled
        self.refused: dict[Step, str] = {}
        self._pool: Any = None

    def record(self, runs: Iterable[Run]) -> Any:
        """The CUDA graph of some calls, of which nothing is executed.

        Temporary arrays come from a pool that lives as long as the program's graphs.
        """
        cupy, stream = self.session.cupy, self.session.stream
        self._pool = self._pool or cupy.cuda.MemoryPool()
        stream.synchronize()
        with cupy.cuda.using_allocator(self._pool.malloc):
            stream.begin_capture()
            try:
                for run in runs:
                    run()
            except BaseException:
                self._abandon()
                raise
            return stream.end_capture()

    def _abandon(self) -> None:
        """End a capture that failed, which reports the failure once more."""
        try:
            self.session.stream.end_capture()
        except self.session.cupy.cuda.runtime.CUDARuntimeError as error:
            log.debug("capture ended: %s", error)

    def forget(self) -> None:
        """Let go of the temporary arrays of all graphs."""
        self._pool = None


@attrs.define(eq=False)
class Recording:
    """The graph of a stretch in one situation.

    Attributes:
        calls: how often the calls have run one by one in this situation.
        graph: the CUDA graph; None before it is recorded.
        inputs: where the arrays were that it reads.
        effects: what declares the arrays written, after a launch.
    """

    calls: int = 0
    graph: Any = None
    inputs: Sequence[tuple[SyncedArray, Place, Any]] = ()
    effects: Sequence[Run] = ()


OnChange = Callable[["Stretch", Recording], None]


class Stretch:
    """Consecutive steps that run on the GPU alone: call by call at first, then as one graph.

    A graph is valid for one situation: which of the arrays it reads are zeros that nobody has
    written out yet, as diffs are before a backward pass. There is one graph per situation.

    Args:
        recorder: records it.
        parts: the steps.
        on_change: called with the stretch and the recording it works on before calls run one by one,
            or are recorded.
    """

    def __init__(self, recorder: Recorder, parts: Sequence[Part], on_change: OnChange) -> None:
        self._recorder, self._parts, self._on_change = recorder, parts, on_change
        self._inputs = _inputs(parts)
        self._arrays = list({array: None for part in parts for array, _ in (*part.reads, *part.writes)})
        self._recordings: dict[tuple[bool, ...], Recording] = {}
        self._pieces: list[Run] = []

    def __call__(self) -> None:
        """Run the steps in the fastest way there is by now."""
        if self._pieces:
            for piece in self._pieces:
                piece()
            return
        for array, place in self._inputs:
            if not array.is_current(place) and not array.is_zero and array.current:
                array.read(place)
        situation = tuple([array.is_zero for array, _ in self._inputs])
        recording = self._recordings.setdefault(situation, Recording())
        if recording.graph is None or any(array.memory(at) is not was for array, at, was in recording.inputs):
            self._run_or_record(recording)
            return
        recording.graph.launch(self._recorder.session.stream)
        for effect in recording.effects:
            effect()

    @property
    def graphs(self) -> int:
        """How many graphs there are, one per situation."""
        inner = (piece.graphs for piece in self._pieces if isinstance(piece, Stretch))
        return sum(recording.graph is not None for recording in self._recordings.values()) + sum(inner)

    def forget(self, *, keep: Recording | None = None) -> None:
        """Drop the graphs, all or all but one; they are recorded again when they are needed."""
        for recording in self._recordings.values():
            if recording is not keep:
                recording.graph = None
        for piece in self._pieces:
            if isinstance(piece, Stretch):
                piece.forget()

    def _run_or_record(self, recording: Recording) -> None:
        self._on_change(self, recording)
        if recording.calls < WARM_UPS or not self._recorder.enabled:
            recording.calls += 1
            self._run()
            return
        before = [(array, array.state, array.version) for array in self._arrays]
        reached: list[Part] = []
        try:
            recording.graph = self._recorder.record(self._followed(reached))
        except Exception as error:  # noqa: BLE001 - whatever cannot be recorded runs call by call
            for array, state, _ in before:
                array.assume(state)
            self._divide(reached[-1], error)
            return
        recording.inputs = [(array, place, array.memory(place)) for array, place in self._inputs]
        recording.effects = [effect for known in before for effect in _effects(*known)]
        recording.graph.launch(self._recorder.session.stream)

    def _run(self) -> None:
        for part in self._parts:
            for run in part.runs:
                run()

    def _followed(self, reached: list[Part]) -> Iterator[Run]:
        """All calls, noting whose they are."""
        for part in self._parts:
            reached.append(part)
            yield from part.runs

    def _divide(self, refused: Part, error: Exception) -> None:
        """From now on, run one step call by call, and what is before and behind it as stretches of their own."""
        cause = error.__context__ or error
        reason = f"not recorded: {type(cause).__name__}: {cause}"
        self._recorder.refused[refused.step] = reason
        log.warning("step '%s' runs outside of CUDA graphs: %s", refused.step.name, reason)
        log.debug("why it cannot be recorded", exc_info=error)
        position = self._parts.index(refused)
        before, after = self._parts[:position], self._parts[position + 1 :]
        self._pieces = [*self._stretch(before), *refused.runs, *self._stretch(after)]
        self._run()

    def _stretch(self, parts: Sequence[Part]) -> list[Run]:
        return [Stretch(self._recorder, parts, self._on_change)] if parts else []


def _inputs(parts: Iterable[Part]) -> list[tuple[SyncedArray, Place]]:
    """What is read before any of the parts writes it, each once."""
    written: set[SyncedArray] = set()
    inputs: dict[tuple[SyncedArray, Place], None] = {}
    for part in parts:
        inputs.update({use: None for use in part.reads if use[0] not in written})
        if part.step.bottoms:  # a net's inputs are written from outside
            written.update(array for array, _ in part.writes)
    return list(inputs)


def _effects(array: SyncedArray, before: SyncedState, version: int) -> list[Run]:
    """What turns an array's state before some work into its present one."""
    after = array.state
    if array.version != version:
        return [partial(array.assume, after)]
    added = [(place, values) for place, values in after.arrays.items() if place not in before.arrays]
    removed = [place for place in before.arrays if place not in after.arrays]
    return [
        *(partial(array.mark_current, place, values) for place, values in added),
        *(partial(array.discard, place) for place in removed),
    ]
