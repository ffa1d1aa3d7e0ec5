"""Parts of a pass: operands that are declared first, and calls that are bound to memory before they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from cafx.kernel.net import Access

from .api.memory import Memory
from .api.primitives import Call, CallSequence, PrimitiveDesc
from .build import Build
from .layouts import Conversion
from .operands import Bindable, Operand
from .recording import Recording, join


class Run(Protocol):
    """Part of a pass: what it accesses is known before it runs."""

    @property
    def accesses(self) -> Sequence[Access]:
        """What it reads and writes, in order."""

    def __call__(self) -> None:
        """Run it."""

    def release(self) -> None:
        """Let go of memory; the next run takes it again."""


class Versioned(Protocol):
    """A parameter whose version grows when it is written."""

    @property
    def version(self) -> int:
        """The number of its newest values."""


class Invocation:
    """A primitive with the operands of its arguments: becomes a `Call` once these have memory.

    Args:
        build: the net being compiled.
        desc: the primitive.
        arguments: operand or memory for each argument.
    """

    def __init__(self, build: Build, desc: PrimitiveDesc, arguments: Mapping[int, Bindable]) -> None:
        self.build, self.desc, self.arguments = build, desc, dict(arguments)
        build.scratch.reserve(desc)

    def bind(self) -> Call:
        """The prepared call."""
        memory = {arg: each if isinstance(each, Memory) else each.bind() for arg, each in self.arguments.items()}
        return self.desc.build().prepare(self.build.engine.stream, memory | self.build.scratch.pad(self.desc))


class Reordering:
    """An invocation of a reorder, which counts as a conversion."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation

    def bind(self) -> Conversion:
        """The prepared, counting call."""
        return Conversion(self.invocation.bind())


class Deferred:
    """Work that takes time to prepare, such as compiling kernels: done when it is bound.

    Args:
        prepare: returns what is called.
    """

    def __init__(self, prepare: Callable[[], Callable[[], None]]) -> None:
        self._prepare = prepare

    def bind(self) -> Callable[[], None]:
        """What ``prepare`` returns."""
        return self._prepare()


class Beforehand:
    """Work that reads parameters alone, so that it can be done before a pass.

    Args:
        run: the work, which looks whether they have changed.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run

    def join(self, recording: Recording) -> bool:
        """Do it before the calls that are written down."""
        recording.conditions.append(self._done)
        return True

    def _done(self) -> bool:
        self._run()
        return True

    def __call__(self) -> None:
        """Do it."""
        self._run()


class WhenChanged:
    """Work done again when a parameter has changed.

    Args:
        parameters: the parameters.
        run: the work.
    """

    def __init__(self, parameters: Sequence[Versioned], run: Callable[[], None]) -> None:
        self._parameters, self._run = tuple(parameters), run
        self._seen: list[int] = []

    def __call__(self) -> None:
        """Look, and do it."""
        versions = [each.version for each in self._parameters]
        if versions != self._seen:
            self._run()
            self._seen = versions

    def release(self) -> None:
        """Let go of memory that the work reads; what it has made is kept."""
        if isinstance(self._run, Releasable):
            self._run.release()


Work = Callable[[], None] | Invocation | Reordering | Deferred


@runtime_checkable
class Releasable(Protocol):
    """A call that remembers memory, such as a program of compiled kernels."""

    def release(self) -> None:
        """Let go of memory that is not in use until the next run."""


class Execution:
    """Operands brought up to date, calls run, results declared.

    Args:
        reads: what the calls read (or add to).
        work: the calls, and whatever else runs between them.
        writes: what they overwrite.
        keeps: what they use as an earlier execution of the same routine left it.
    """

    def __init__(
        self,
        reads: Iterable[Operand],
        work: Sequence[Work],
        writes: Iterable[Operand] = (),
        *,
        keeps: Iterable[Operand] = (),
    ) -> None:
        self.reads, self.writes, self.keeps = tuple(reads), tuple(writes), tuple(keeps)
        self._reading = [(each.storage.holds, each.place, each, self._overwriting(each)) for each in self.reads]
        self._writing = [(each.storage.mark_written, each.place, each) for each in self.writes]
        self._work = tuple(work)
        self._calls: tuple[Callable[[], None], ...] | None = None
        self._ready = False

    def _overwriting(self, read: Operand) -> list[Operand]:
        """The operands that overwrite what is read: they follow when a data layer hands out other memory."""
        same = (each for each in self.writes if each.storage is read.storage and each.place is read.place)
        return [each for each in same if each is not read and not (each.apart or read.apart or read.pinned)]

    @property
    def accesses(self) -> list[Access]:
        """What it reads and writes."""
        return [Access(self.reads, self.writes, self.keeps)]

    def release(self) -> None:
        """Let go of the operands' memory."""
        self._ready = False
        for each in (*self.reads, *self.writes, *self.keeps):
            each.release()
        for call in self._calls or ():
            if isinstance(call, Releasable):
                call.release()

    def join(self, recording: Recording) -> bool:
        """Write down what it calls, as it has run."""
        if not self._ready or self._calls is None or self.keeps:
            return False
        steps = [partial(recording.read, each) for each in self.reads]
        steps += [partial(join, each, recording) for each in self._calls]
        steps += [partial(recording.write, each) for each in self.writes]
        return all(step() for step in steps)

    def bind(self) -> None:
        """Take memory, and prepare the calls the first time."""
        for each in (*self.reads, *self.writes, *self.keeps):
            each.bind()
        if self._calls is None:
            self._calls = tuple(_joined(self._work))
        self._ready = True

    def __call__(self) -> None:
        """Run it."""
        if not self._ready:
            self.bind()
        for holds, place, each, same in self._reading:
            if not holds(place, each.array):
                each.refresh()
                for written in same:
                    written.point(each.array)
        for run in self._calls:  # type: ignore[union-attr]
            run()
        for mark_written, place, each in self._writing:
            mark_written(place, each.array)


def _joined(work: Sequence[Work]) -> Iterable[Callable[[], None]]:
    """Bound, with consecutive calls as one sequence."""
    calls: list[Call] = []
    for each in work:
        if isinstance(each, Invocation):
            calls.append(each.bind())
            continue
        if calls:
            yield CallSequence(calls)
            calls = []
        yield each.bind() if isinstance(each, (Reordering, Deferred)) else each
    if calls:
        yield CallSequence(calls)


class InOrder:
    """Runs one after another."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = tuple(runs)

    @property
    def accesses(self) -> list[Access]:
        """What they read and write."""
        return [access for run in self._runs for access in run.accesses]

    def release(self) -> None:
        """Let go of memory."""
        for run in self._runs:
            run.release()

    def join(self, recording: Recording) -> bool:
        """Write down what they call."""
        return all(join(run, recording) for run in self._runs)

    def __call__(self) -> None:
        """Run all."""
        for run in self._runs:
            run()


class Nothing:
    """A pass with nothing to do."""

    accesses: Sequence[Access] = ()

    def join(self, recording: Recording) -> bool:
        """It calls nothing."""
        return True

    def __call__(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Hold nothing."""


NOTHING = Nothing()
