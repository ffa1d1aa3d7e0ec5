"""Results that oneDNN's primitives get wrong for NaN: noticed, and computed again.

oneDNN's max(x, 0) is 0 for NaN. The instruction, as every one that compares, raises the processor's flag *invalid
operation* when it meets NaN. A fused primitive is followed by a look at that flag on every thread: a microsecond,
where a pass over the result would take as long as the ReLU that was saved.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from cafx.kernel import Unsupported

from . import native
from .execution import Deferred, Releasable, Work
from .operands import Bindable, Operand
from .recording import Recording, join


def require_kernels() -> None:
    """Raise Unsupported where there are no compiled kernels, without which a NaN would be lost."""
    reason = native.unavailable()
    if reason:
        raise Unsupported(f"oneDNN loses NaN, and there are no kernels of our own: {reason}")


def valuewise(
    build: Any, function: str, first: Bindable, second: Bindable, result: Bindable, alpha: float = 0, beta: float = 0
) -> Deferred:
    """A function of `valuewise.FUNCTIONS` as work of a pass.

    Args:
        build: the net being compiled.
        function: its name.
        first, second, result: operands and result, in one layout; functions of one operand ignore the second.
        alpha, beta: constants.
    """
    from .valuewise import program  # needs llvmlite, which is not everywhere

    memory, constants = (first, second, result), (alpha, beta)
    return Deferred(partial(program, function, memory, constants, threads=build.threads, scratch=build.scratch.floats))


def relu(build: Any, x: Bindable, y: Bindable, slope: float) -> Deferred:
    """y = max(x, 0) + slope · min(x, 0)."""
    return valuewise(build, "relu", x, x, y, slope)


class Bound:
    """Work bound when it first runs.

    Args:
        prepare: returns the work.
    """

    def __init__(self, prepare: Callable[[], Sequence[Work]]) -> None:
        self._prepare = prepare
        self._calls: list[Callable[[], None]] | None = None

    def release(self) -> None:
        """Let go of memory."""
        for call in self._calls or ():
            if isinstance(call, Releasable):
                call.release()

    def __call__(self) -> None:
        """Run it."""
        if self._calls is None:
            self._calls = [each if callable(each) else each.bind() for each in self._prepare()]
        for call in self._calls:
            call()

    def join(self, recording: Recording) -> bool:
        """Write down what it has called."""
        calls = self._calls or ()
        return bool(calls) and all(join(call, recording) for call in calls)


class Checked(Bound):
    """A program of kernels, and work done in its place where a result is not finite.

    Args:
        tasks: the program.
        prepare: returns the exact work.
    """

    def __init__(self, tasks: Any, prepare: Callable[[], Sequence[Work]]) -> None:
        super().__init__(prepare)
        self._tasks = tasks

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._tasks.release()

    def join(self, recording: Recording) -> bool:
        """Write the program down."""
        recording.doubts.append(self._tasks.met_not_finite)
        return bool(self._tasks.join(recording))

    def __call__(self) -> None:
        """Run the program, and do it again if need be."""
        self._tasks()
        if self._tasks.met_not_finite():
            super().__call__()


class AllFinite:
    """Whether all values of an operand are finite (and not huge).

    Args:
        build: the net being compiled.
        memory: where to look.
    """

    def __init__(self, build: Any, memory: Bindable) -> None:
        self._build, self._memory = build, memory
        self._search: Any = None

    def release(self) -> None:
        """Let go of memory."""
        if self._search is not None:
            self._search.release()

    def __call__(self) -> bool:
        """Look."""
        if self._search is None:
            from .valuewise import search  # needs llvmlite, which is not everywhere

            scratch = self._build.scratch.floats
            self._search = search(self._memory, threads=self._build.threads, scratch=scratch)
        self._search()
        return not self._search.met_not_finite()


class FewFinite:
    """The same of a row-major operand with few values.

    Args:
        memory: where to look.
    """

    def __init__(self, memory: Operand) -> None:
        self._memory = memory

    def release(self) -> None:
        """Hold nothing."""

    def __call__(self) -> bool:
        """Look."""
        return bool(np.isfinite(self._memory.array).all())


class Condition(Protocol):
    """Whether values are finite."""

    def __call__(self) -> bool:
        """Look."""

    def release(self) -> None:
        """Let go of memory."""


class Choice:
    """Work done in one of two ways.

    Args:
        conditions: whether values are finite.
        usual: the work if all are.
        exact: returns the work if not.
    """

    def __init__(
        self, conditions: Sequence[Condition], usual: Sequence[Work], exact: Callable[[], Sequence[Work]]
    ) -> None:
        self._conditions = tuple(conditions)
        self._usual, self._exact = Bound(lambda: usual), Bound(exact)

    def release(self) -> None:
        """Let go of memory."""
        for each in (*self._conditions, self._usual, self._exact):
            each.release()

    def join(self, recording: Recording) -> bool:
        """Write down the usual work, on its conditions."""
        recording.conditions += self._conditions
        return self._usual.join(recording)

    def __call__(self) -> None:
        """Look, and run."""
        (self._usual if all(each() for each in self._conditions) else self._exact)()


class Again(Bound):
    """Work done again, exactly, on a condition.

    Args:
        condition: whether what ran before it may be wrong.
        prepare: returns the exact work.
    """

    def __init__(self, condition: Callable[[], bool], prepare: Callable[[], Sequence[Work]]) -> None:
        super().__init__(prepare)
        self._condition = condition

    def join(self, recording: Recording) -> bool:
        """What is looked at is not written down."""
        return False

    def __call__(self) -> None:
        """Look, and do it again if need be."""
        if self._condition():
            super().__call__()


class Guard(Again):
    """Work done again, exactly, if what ran before it compared NaN.

    Args:
        threads: of the engine.
        prepare: returns the exact work.
    """

    def __init__(self, threads: int, prepare: Callable[[], Sequence[Work]]) -> None:
        super().__init__(partial(met_nan, threads), prepare)

    def join(self, recording: Recording) -> bool:
        """Look once, after all calls."""
        return recording.guard()


def met_nan(threads: int) -> bool:
    """Whether an invalid operation has happened on any of OpenMP's threads since this was last asked."""
    return _watch(threads).ask()


class Watch:
    """The compiled function that collects the flags, and where it puts them.

    Args:
        threads: whose flags it collects.
    """

    def __init__(self, threads: int) -> None:
        from .flags import FlagArguments, collect_flags  # needs llvmlite, which is not everywhere

        self._flag = ctypes.c_int64()
        self._call = collect_flags().call(FlagArguments(flag=ctypes.addressof(self._flag)))
        pointers = ctypes.c_void_p(self._call.address), ctypes.c_void_p(int(self._call.arguments.ctypes.data))
        self._run = partial(native.parallel(), *pointers, ctypes.c_uint(threads), ctypes.c_int(0))

    def ask(self) -> bool:
        """Collect them, and forget them."""
        self._run()
        if not self._flag.value:
            return False
        self._flag.value = 0
        return True


@functools.cache
def _watch(threads: int) -> Watch:
    return Watch(threads)
