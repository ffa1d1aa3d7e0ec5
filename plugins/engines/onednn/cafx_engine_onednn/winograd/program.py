"""Programs of kernels: phases of tasks that any thread may take, all of a phase before any of the next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.ir as ir
import numpy as np

from ..api.memory import Memory
from ..emitter import FLOAT, INT, LANE, Emitter, Kernel, Value
from ..native import parallel, symbol
from ..operands import Operand

Task = Sequence[tuple[Kernel, Any]]
"""Kernels with their arguments, one after another on one thread, which share its scratch memory."""


class Cells:
    """Where kernels find the addresses of memory, which may move between runs."""

    def __init__(self) -> None:
        self._memories: list[Memory] = []
        self._arrays: list[Any] = []
        self._cells: list[Any] = []

    def of(self, held: Operand | Memory) -> int:
        """The address of the cell of some memory."""
        memory = held.bind() if isinstance(held, Operand) else held
        cell = np.zeros(1, np.int64)
        self._memories.append(memory)
        self._arrays.append(None)
        self._cells.append(cell)
        return int(cell.ctypes.data)

    def fill(self) -> None:
        """Bring them up to date."""
        for index, memory in enumerate(self._memories):
            if memory.array is not self._arrays[index]:
                self._arrays[index] = memory.array
                self._cells[index][0] = memory.array.ctypes.data


class Tasks:
    """Phases of tasks, called as one.

    Which thread takes a task is left open: what tasks of a phase write must not overlap.

    Args:
        threads: how many to use.
        cells: of the memory the kernels work on.
        scratch: memory for all threads.
    """

    def __init__(self, threads: int, cells: Cells, scratch: Memory, phases: Sequence[Sequence[Task]]) -> None:
        self._cells, self._threads = cells, threads
        tasks = [task for phase in phases for task in phase]
        ends = np.cumsum([0, *(len(task) for task in tasks)])
        self._keep: list[Any] = [scratch, *([arguments for _, arguments in task] for task in tasks)]
        steps = [[kernel.address, arguments.ctypes.data] for task in tasks for kernel, arguments in task]
        counts = np.cumsum([0, *(len(phase) for phase in phases)])
        share = scratch.desc.size // threads // FLOAT_BYTES
        head = [len(phases), *map(self._held, (steps, ends, counts, counts[:-1])), cells.of(scratch), share]
        self._program = np.array(head, np.int64)

    def _held(self, values: Any) -> int:
        array = np.array(values, np.int64)
        self._keep.append(array)
        return int(array.ctypes.data)

    def __call__(self) -> None:
        """Run all."""
        self._cells.fill()
        parallel()(runner(), self._program.ctypes.data, self._threads, 0)


FLOAT_BYTES = 4
PHASES, STEPS, ENDS, COUNTS, TAKEN, SCRATCH, SHARE = range(7)


@cache
def runner() -> int:
    """The address of what each thread runs.

    A thread takes the next task of a phase by adding one to the phase's counter, and waits behind the
    last for the others; counters begin where the phase before ends, and are put back when all is done.
    """
    e = Emitter()
    b = e.builder
    program = e.arguments

    def get(array: Value, index: Value) -> Value:
        return b.load(b.gep(array, [index]))

    def array(which: int) -> Value:
        return b.inttoptr(get(program, INT(which)), INT.as_pointer())

    def call(name: str, result: Any = None) -> Value:
        kind = ir.FunctionType(result or ir.VoidType(), [])
        return b.call(b.inttoptr(INT(symbol(name)), kind.as_pointer()), [])

    steps, ends, counts, taken = map(array, (STEPS, ENDS, COUNTS, TAKEN))
    thread = b.sext(call("omp_get_thread_num", LANE), INT)
    base = b.inttoptr(get(array(SCRATCH), INT(0)), FLOAT.as_pointer())
    scratch = b.gep(base, [e.product(thread, get(program, INT(SHARE)))])
    kernel = ir.FunctionType(ir.VoidType(), [INT.as_pointer(), FLOAT.as_pointer()]).as_pointer()

    def step(index: Value) -> None:
        at = e.product(index, 2)
        function = b.inttoptr(get(steps, at), kernel)
        b.call(function, [b.inttoptr(get(steps, e.sum(at, INT(1))), INT.as_pointer()), scratch])

    def phase(index: Value) -> None:
        counter, end = b.gep(taken, [index]), get(counts, e.sum(index, INT(1)))
        again, work, done = (b.append_basic_block() for _ in range(3))
        b.branch(again)
        b.position_at_end(again)
        task = b.atomic_rmw("add", counter, INT(1), "seq_cst")
        b.cbranch(b.icmp_signed("<", task, end), work, done)
        b.position_at_end(work)
        first = get(ends, task)
        e.loop(b.sub(get(ends, e.sum(task, INT(1))), first), lambda i: step(e.sum(first, i)))
        b.branch(again)
        b.position_at_end(done)
        call("GOMP_barrier")

    phases = get(program, INT(PHASES))
    e.loop(phases, phase)
    with b.if_then(b.icmp_signed("==", thread, INT(0))):
        e.loop(phases, lambda i: b.store(get(counts, i), b.gep(taken, [i])) and None)
    return e.finish().address
