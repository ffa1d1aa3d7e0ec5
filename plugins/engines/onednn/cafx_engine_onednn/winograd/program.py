"""Programs of kernels: phases of tasks for any thread; each phase is completed before the next starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Self

import attrs
import llvmlite.ir as ir
import numpy as np

from cafx_lib_llvm import FLOATS, INT, INTS, LANE, Arguments, Emitter, KernelCall, KernelFunction, Value, kernel
from cafx_lib_llvm.emitter import BFLOAT16S

from ..api.memory import Memory
from ..execution import Beforehand, WhenChanged
from ..native import parallel, symbol
from ..operands import Bindable

P = ParamSpec("P")
Bytes = Bindable
Task = Sequence[KernelCall]
"""Calls made one after another by one thread. They share its scratch memory."""
Scratch = Callable[[str, int], Memory]
"""A provider of scratch buffers, given a name and a number of floats. The same name gives the same buffer, which
may grow and move; memory objects follow it."""
OWN = 0
"""The cell of a thread's own scratch memory."""
FLOAT_BYTES = 4


@attrs.frozen
class Region(Arguments):
    """Memory that starts at an offset.

    Attributes:
        cell: the cell with the address of the memory; see `Cells`.
        start: offset in values.
    """

    cell: int
    start: int = 0


class Cells:
    """Addresses of memory that may move between runs; kernels are given the addresses of the cells."""

    def __init__(self) -> None:
        self._sources: list[Bytes] = []
        self._memories: list[Memory] = []
        self._arrays: list[Any] = []
        self._cells: list[Any] = []

    def of(self, source: Bytes) -> int:
        """The address of a new cell; an operand is bound only by `bind`."""
        cell = np.zeros(1, np.int64)
        self._sources.append(source)
        self._cells.append(cell)
        return int(cell.ctypes.data)

    def bind(self) -> None:
        """Bind the operands to memory."""
        self._memories = [each if isinstance(each, Memory) else each.bind() for each in self._sources]
        self._arrays = [None] * len(self._memories)

    def release(self) -> None:
        """Let go of the memory; `fill` takes the addresses again."""
        self._arrays = [None] * len(self._memories)

    def fill(self) -> None:
        """Write the current addresses to the cells."""
        for index, memory in enumerate(self._memories):
            if memory.array is not self._arrays[index]:
                self._arrays[index] = memory.array
                self._cells[index][0] = memory.array.ctypes.data


def task_kernel(arguments: type[Arguments]) -> Callable[[Callable[Concatenate[Emitter, P], None]], KernelFunction[P]]:
    """`kernel` for tasks: ``void(arguments *, float *scratch)``."""
    return kernel(arguments, FLOATS)


def pointer(e: Emitter, region: Any, *, bfloat16: bool = False) -> Value:
    """A pointer to a `Region` among a task kernel's arguments, of float32 or bfloat16 values."""
    b, (scratch,) = e.builder, e.parameters
    own = b.icmp_signed("==", region.cell, INT(OWN))
    readable = b.select(own, b.ptrtoint(e.address, INT), region.cell)
    address = b.load(b.inttoptr(readable, INTS))
    start = b.select(own, scratch, b.inttoptr(address, FLOATS))
    return e.at(b.bitcast(start, BFLOAT16S) if bfloat16 else start, region.start)


class Tasks:
    """A program: phases of tasks, run by one call.

    Any thread may run any task of a phase, so tasks of one phase must not write to the same memory.

    Args:
        threads: number of threads.
        cells: cells of the memory that the kernels work on.
        scratch: memory that is divided among the threads.
        phases: the tasks.
        not_finite: what kernels set to 1 when a result is not finite, if they look.
    """

    def __init__(
        self, threads: int, cells: Cells, scratch: Memory, phases: Sequence[Sequence[Task]], not_finite: Any = None
    ) -> None:
        self._not_finite = np.zeros(1, np.int64) if not_finite is None else not_finite
        self._cells, self._threads, self._bound = cells, threads, False
        tasks = [task for phase in phases for task in phase]
        calls = [[call.address, call.arguments.ctypes.data] for task in tasks for call in task]
        counts = np.cumsum([0, *(len(phase) for phase in phases)])
        self._keep: list[Any] = [scratch, *([call.arguments for call in task] for task in tasks)]
        program = ProgramArguments(
            phases=len(phases),
            calls=self._in_memory(calls),
            ends=self._in_memory(np.cumsum([0, *(len(task) for task in tasks)])),
            counts=self._in_memory(counts),
            taken=self._in_memory(counts[:-1]),
            scratch=cells.of(scratch),
            share=scratch.desc.size // threads // FLOAT_BYTES,
            thread_number=symbol("omp_get_thread_num"),
            barrier=symbol("GOMP_barrier"),
        )
        self._call = run_tasks().call(program)

    def _in_memory(self, values: Any) -> int:
        array = np.array(values, np.int64)
        self._keep.append(array)
        return int(array.ctypes.data)

    def met_not_finite(self) -> bool:
        """Whether a kernel has computed what is not finite since this was last asked."""
        met = bool(self._not_finite[0])
        self._not_finite[0] = 0
        return met

    def bind(self) -> Self:
        """Bind all operands to memory, unless they are bound."""
        if not self._bound:
            self._cells.bind()
            self._bound = True
        return self

    def release(self) -> None:
        """Let go of memory that is not in use until the next run."""
        self._cells.release()

    @property
    def entry(self) -> tuple[int, int, int]:
        """Addresses of the function that each thread runs and of its argument, and the number of threads."""
        return self._call.address, int(self._call.arguments.ctypes.data), self._threads

    def join(self, recording: Any) -> bool:
        """Write the program down."""
        return bool(recording.program(self))

    def point(self) -> None:
        """Tell the kernels where the operands are."""
        self.bind()
        self._cells.fill()

    def __call__(self) -> None:
        """Run the program."""
        self.point()
        parallel()(self._call.address, self._call.arguments.ctypes.data, self._threads, 0)


class Inference:
    """A program that reads what another one makes of parameters, which runs again when these have changed.

    Args:
        parameters: the parameters.
        prepare: makes something of them, in memory that lasts.
        run: the program.
    """

    def __init__(self, parameters: Sequence[Bytes], prepare: Tasks, run: Tasks) -> None:
        self._prepare, self._run = WhenChanged(parameters, prepare), run
        self.met_not_finite = run.met_not_finite

    def release(self) -> None:
        """Let go of memory that is not in use until the next run."""
        self._prepare.release()
        self._run.release()

    def join(self, recording: Any) -> bool:
        """Write the program down; the other one runs before it if need be."""
        return Beforehand(self._prepare).join(recording) and self._run.join(recording)

    def __call__(self) -> None:
        """Run the program, after the other one if need be."""
        self._prepare()
        self._run()


@attrs.frozen(kw_only=True)
class ProgramArguments(Arguments):
    """A program in memory.

    Attributes:
        phases: number of phases.
        calls: address of pairs of a kernel's address and its arguments' address.
        ends: address of the index of each task's first call, and of the end.
        counts: address of the index of each phase's first task, and of the end.
        taken: address of each phase's counter, the index of the next task to take.
        scratch: the cell with the address of the scratch memory.
        share: floats of scratch memory per thread.
        thread_number, barrier: addresses of OpenMP's functions.
    """

    phases: int
    calls: int
    ends: int
    counts: int
    taken: int
    scratch: int
    share: int
    thread_number: int
    barrier: int


@kernel(ProgramArguments)
def run_tasks(e: Emitter) -> None:
    """The function that each thread runs.

    A thread takes the next task of a phase by incrementing the phase's counter, and after the last task
    waits for the other threads. The first thread resets the counters at the end.
    """
    b, program = e.builder, e.arguments
    calls, ends, counts, taken, scratch = (
        b.inttoptr(address, INTS)
        for address in (program.calls, program.ends, program.counts, program.taken, program.scratch)
    )
    thread = b.sext(b.call(_function(e, program.thread_number, LANE), []), INT)
    own = b.gep(b.inttoptr(e.load_int(scratch, 0), FLOATS), [e.multiply(thread, program.share)])
    with e.loop(program.phases) as phase:
        end = e.load_int(counts, e.add(phase.index, 1))
        take, work, done = (b.append_basic_block() for _ in range(3))
        b.branch(take)
        b.position_at_end(take)
        task = b.atomic_rmw("add", b.gep(taken, [phase.index]), INT(1), "seq_cst")
        b.cbranch(b.icmp_signed("<", task, end), work, done)
        b.position_at_end(work)
        first = e.load_int(ends, task)
        with e.loop(b.sub(e.load_int(ends, e.add(task, 1)), first)) as call:
            pair = e.multiply(e.add(first, call.index), 2)
            function = _function(e, e.load_int(calls, pair), ir.VoidType(), INTS, FLOATS)
            b.call(function, [b.inttoptr(e.load_int(calls, e.add(pair, 1)), INTS), own])
        b.branch(take)
        b.position_at_end(done)
        b.call(_function(e, program.barrier, ir.VoidType()), [])
    with e.if_then(b.icmp_signed("==", thread, INT(0))), e.loop(program.phases) as phase:
        b.store(e.load_int(counts, phase.index), b.gep(taken, [phase.index]))


def _function(e: Emitter, address: Value, result: Any, *parameters: Any) -> Value:
    return e.builder.inttoptr(address, ir.FunctionType(result, parameters).as_pointer())
