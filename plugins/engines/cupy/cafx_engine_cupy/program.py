"""The program of a net on a GPU: stretches of steps become CUDA graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from cafx.kernel import CafxError
from cafx.kernel.blob import Place, SyncedArray
from cafx.kernel.net import Observer, Program, Step
from cafx_engine_cupy.recording import Part, Recorder, Recording, Run, Stretch
from cafx_engine_cupy.session import Session

GIB = 1 << 30


class ScratchBuffers(Protocol):
    """Temporary buffers that grow."""

    replaced: int
    """How many of them have been replaced by larger ones."""


class RecordedProgram(Program):
    """A program whose steps, but for those that need the host, are recorded as CUDA graphs.

    Args:
        arguments, rest: those of `Program`.
        session: the GPU and the stream.
        recording: False to run everything call by call.
        place: where layers as written have their arrays.
        parameter_places: where parameters are kept that are kept elsewhere.
        scratch: temporary buffers whose addresses graphs contain.

    Attributes:
        recorder: says what could not be recorded.
    """

    def __init__(
        self,
        *arguments: Any,
        session: Session,
        recording: bool,
        place: Place,
        parameter_places: Mapping[SyncedArray, Place],
        scratch: Sequence[ScratchBuffers],
        **rest: Any,
    ) -> None:
        self.recorder = Recorder(session, enabled=recording)
        self._place, self._parameter_places = place, parameter_places
        self._stretches: dict[bool, list[Stretch]] = {False: [], True: []}
        super().__init__(*arguments, **rest)
        self._scratch, self._replaced = scratch, 0

    def schedule(self, runs: Iterable[tuple[Step, list[Run]]], *, backward: bool) -> list[Run]:
        """Each longest run of steps that can be recorded as one call; the others call by call."""
        if any(step.is_dynamic for step in self.steps):
            return super().schedule(runs, backward=backward)
        scheduled: list[Run] = []
        for recordable, group in groupby(runs, key=lambda each: each[0].is_capturable):
            if not recordable:
                scheduled += [run for _, calls in group for run in calls]
                continue
            parts = [self._part(step, calls, backward=backward) for step, calls in group]
            stretch = Stretch(self.recorder, parts, self._backward_changes if backward else self._forward_changes)
            self._stretches[backward].append(stretch)
            scheduled.append(stretch)
        return scheduled

    def _part(self, step: Step, runs: list[Run], *, backward: bool) -> Part:
        accesses = step.accesses(backward=backward)
        reads = [(use.storage, use.place) for access in accesses for use in (*access.reads, *access.keeps)]
        writes = [(use.storage, use.place) for access in accesses for use in access.writes]
        parameters = [blob for planned in step.layers for blob in planned.layer.blobs]
        kinds = ("synced_data", "synced_diff") if backward else ("synced_data",)
        arrays = [(getattr(blob, kind), blob) for blob in parameters for kind in kinds]
        reads += [(array, self._parameter_places.get(blob.synced_data, self._place)) for array, blob in arrays]
        return Part(step, runs, reads, writes)

    def _forward_changes(self, stretch: Stretch, recording: Recording) -> None:
        """Layers hold other arrays once their forward runs as Python: what was recorded with the old ones is void."""
        stretch.forget(keep=recording)
        for other in self._stretches[True]:
            other.forget()

    def _backward_changes(self, stretch: Stretch, recording: Recording) -> None:
        """Nothing depends on what a backward pass holds."""

    @property
    def graphs(self) -> int:
        """How many graphs have been recorded and are in use."""
        return sum(stretch.graphs for stretch in (*self._stretches[False], *self._stretches[True]))

    def forget(self) -> None:
        """Drop all graphs, as the memory they use is about to change."""
        for stretch in (*self._stretches[False], *self._stretches[True]):
            stretch.forget()
        self.recorder.forget()

    def attach(self) -> None:
        """Take memory into use."""
        self.forget()
        with self._memory_errors():
            super().attach()

    def release(self, first: int = 0) -> list[list[Any]]:
        """Give memory back."""
        self.forget()
        return super().release(first)

    def forward(
        self, first: int = 0, last: int | None = None, observer: Observer | None = None, *, resume: bool = False
    ) -> int:
        """As `Program.forward`; a part of a pass runs call by call."""
        self._enter()
        if not self.is_whole(first, last, observer):
            self.forget()
        with self._memory_errors():
            return super().forward(first, last, observer, resume=resume)

    def backward(self, last: int | None = None, first: int = 0, observer: Observer | None = None) -> None:
        """As `Program.backward`."""
        self._enter()
        with self._memory_errors():
            super().backward(last, first, observer)

    def _enter(self) -> None:
        """Make the GPU current; drop graphs whose scratch buffers have been replaced."""
        self.recorder.session.use()
        replaced = sum(buffers.replaced for buffers in self._scratch)
        if replaced != self._replaced:
            self.forget()
            self._replaced = replaced

    @contextlib.contextmanager
    def _memory_errors(self) -> Iterator[None]:
        """Say what would fit where the GPU's memory does not suffice."""
        try:
            yield
        except self.recorder.session.cupy.cuda.memory.OutOfMemoryError as error:
            raise self._too_large() from error

    def _too_large(self) -> CafxError:
        session = self.recorder.session
        session.cupy.get_default_memory_pool().free_all_blocks()
        free, total = session.memory()
        fitting, batch = self._fitting_batch(total)
        remedy = f"a batch of {fitting} would fit" if fitting else "use a GPU with more memory"
        return CafxError(
            "the GPU's memory is too small for this net",
            where=f"GPU {session.device.id}",
            found=f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB of it free",
            expected=f"about {self.nbytes / GIB:.1f} GiB" + (f" with batch {batch}" if batch else ""),
            remedy=remedy,
        )

    def _fitting_batch(self, memory: int) -> tuple[int, int]:
        """About the largest batch that fits, and the present one; 0 where there is no batch axis."""
        sources = [planned.tops[0] for planned in self.plan.layers if not planned.bottoms and planned.tops]
        batch = sources[0].shape[0] if sources and sources[0].shape else 0
        learned = sum(2 * parameter.blob.synced_data.nbytes for parameter in self.plan.parameters)
        per_image = max(1, self.nbytes - learned) / max(1, batch)
        return max(0, min(batch - 1, int((0.9 * memory - 1.5 * learned) / per_image))) if batch else 0, batch
