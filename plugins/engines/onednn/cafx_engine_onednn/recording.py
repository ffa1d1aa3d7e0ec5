"""The calls of neighbouring steps, written down to be made by one foreign call.

Without a backward pass, a step makes the same calls with the same memory every time. What makes calls has a method
``join``, which writes them to a `Recording` and says whether it could.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy as np

from cafx.kernel.blob import Place, SyncedArray

from .api.library import failure, load
from .api.primitives import Call
from .native import symbol

EXECUTE = "primitive_execute"
LONGEST = 32
"""Calls that are made before Python may look for signals."""


@runtime_checkable
class Joinable(Protocol):
    """What can be written to a recording."""

    def join(self, recording: Recording) -> bool:
        """Write down what it calls; False if that is not always the same. Then the recording is of no use."""


def join(thing: object, recording: Recording) -> bool:
    """Write down what something calls, if it can be joined at all."""
    return isinstance(thing, Joinable) and thing.join(recording)


@attrs.frozen
class Row:
    """One foreign call.

    Attributes:
        function: address of a function of four arguments.
        arguments: at most four numbers or addresses.
        where: for messages, the primitive whose status the function returns; empty if it returns none.
        keep: what must live as long as the row.
    """

    function: int
    arguments: Sequence[int]
    where: str = ""
    keep: Any = None


class Recording:
    """The calls of a range of steps.

    Args:
        threads: the engine's.

    Attributes:
        reads: operands whose values come from outside, with a function that says whether their memory has them, and
            whether it may be brought up to date before the calls.
        conditions: what must be true before the calls are made; what is made of parameters is made again by the way.
        programs: programs of kernels, which are to be told where their memory is.
        doubts: say after the calls whether values were met for which these are not exact.
        current: for each array that the calls write, the places that hold its values.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.rows: list[Row] = []
        self.reads: list[tuple[Callable[[Place, Any], bool], Place, Any, bool]] = []
        self.conditions: list[Callable[[], bool]] = []
        self.programs: list[Any] = []
        self.doubts: list[Callable[[], bool]] = []
        self.current: dict[SyncedArray, dict[Place, Any]] = {}
        self._outside: set[SyncedArray] = set()
        self._guards = Flags(threads)

    def add(self, joinables: Sequence[Joinable]) -> bool:
        """Write down what they call, or nothing if one of them cannot be joined."""
        lists: list[list[Any]] = [self.rows, self.reads, self.conditions, self.programs, self.doubts]
        lengths, current = [len(each) for each in lists], {key: dict(places) for key, places in self.current.items()}
        if all(each.join(self) for each in joinables):
            return True
        for each, length in zip(lists, lengths, strict=True):
            del each[length:]
        self.current = current
        return False

    def call(self, call: Call) -> bool:
        """A primitive."""
        primitive, stream, count, arguments = call.step
        numbers = [primitive.value, stream.value, count, arguments.value]
        self.rows.append(Row(execute_address(), numbers, call.where, call))
        return True

    def program(self, program: Any) -> bool:
        """A program of kernels."""
        self.programs.append(program)
        self.rows.append(parallel_row(*program.entry, keep=program))
        return True

    def guard(self) -> bool:
        """Doubt the results if values were compared that are not numbers."""
        if self._guards.met not in self.doubts:
            self._guards.used = True
            self.doubts.append(self._guards.met)
        return True

    def read(self, operand: Any) -> bool:
        """An operand is brought up to date.

        What comes from outside is brought up to date before all calls. Values that are gone after a pass are in memory
        that others may hold until they are read: this is too early for any call but the first.
        """
        storage, place = operand.storage, operand.place
        places = self.current.get(storage)
        if places is None:
            self._outside.add(storage)
            early = not self.rows or storage.holds(place, operand.array)
            self.reads.append((storage.holds, place, operand, early))
            return True
        if place in places:
            return places[place] is operand.array
        conversion = operand.conversion_from(places)
        places[place] = operand.array
        return conversion is not None and bool(conversion.join(self))

    def write(self, operand: Any) -> bool:
        """An operand is overwritten; it must not be what comes from outside, or the calls could not be made twice."""
        self.current[operand.storage] = {operand.place: operand.array}
        return operand.storage not in self._outside

    def table(self) -> Table:
        """The calls in memory."""
        return Table([*self._guards.before, *self.rows, *self._guards.after])


class Flags:
    """Whether the processor has met an invalid operation between two points.

    Args:
        threads: whose flags are looked at.

    Attributes:
        used: whether anybody wants to know.
    """

    def __init__(self, threads: int) -> None:
        self.used = False
        self._threads = threads
        self._earlier, self._met = np.zeros(1, np.int64), np.zeros(1, np.int64)

    def _collect(self, flag: Any) -> list[Row]:
        from .flags import FlagArguments, collect_flags  # needs llvmlite, which is not everywhere

        if not self.used:
            return []
        call = collect_flags().call(FlagArguments(flag=int(flag.ctypes.data)))
        return [parallel_row(call.address, int(call.arguments.ctypes.data), self._threads, keep=call)]

    @property
    def before(self) -> list[Row]:
        """Forget what happened before."""
        return self._collect(self._earlier)

    @property
    def after(self) -> list[Row]:
        """See what has happened."""
        return self._collect(self._met)

    def met(self) -> bool:
        """Whether it has, since this was last asked."""
        met = bool(self._met[0])
        self._met[0] = 0
        return met


class Table:
    """Calls in memory, `LONGEST` at a time made by one foreign call.

    Args:
        rows: the calls.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        from .calls import CallsArguments, run_calls  # needs llvmlite, which is not everywhere

        self._rows = rows
        numbers = [
            [row.function, *row.arguments, *[0] * (4 - len(row.arguments)), int(bool(row.where))] for row in rows
        ]
        self._numbers = np.array(numbers, np.int64)
        self._status = np.zeros(2, np.int64)
        status = int(self._status.ctypes.data)
        self._calls = [
            run_calls().call(CallsArguments(rows=int(part.ctypes.data), count=len(part), status=status))
            for part in np.split(self._numbers, range(LONGEST, len(rows), LONGEST))
        ]
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._calls[0].address)
        self._arguments = [ctypes.c_void_p(int(call.arguments.ctypes.data)) for call in self._calls]

    def __len__(self) -> int:
        return len(self._rows)

    def run(self) -> None:
        """Make the calls."""
        for index, arguments in enumerate(self._arguments):
            self._run(arguments)
            if self._status[0]:
                status, row = self._status
                self._status[0] = 0
                raise failure(self._rows[index * LONGEST + row].where, EXECUTE, int(status))


def parallel_row(function: int, arguments: int, threads: int, *, keep: Any) -> Row:
    """A function of one argument, called by several threads."""
    return Row(symbol("GOMP_parallel"), [function, arguments, threads, 0], keep=keep)


def execute_address() -> int:
    """The address of ``dnnl_primitive_execute``."""
    return int(ctypes.cast(load().execute, ctypes.c_void_p).value or 0)
