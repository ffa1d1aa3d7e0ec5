"""Kernels of scaled rows: values times the row's factor, perhaps plus another row, and the gradients in one pass.

A row is one plane of row-major memory with one factor, or 16 planes whose channels lie side by side with 16 factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from cafx_lib_llvm import INT, LANES, Arguments, Emitter, Value

from .operands import Bindable
from .valuewise import tasks_for
from .winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from .winograd.tiling import split


@attrs.frozen(kw_only=True)
class SumArguments(Arguments):
    """Arguments of the kernels.

    Attributes:
        factors: one value per row, or 16; in the backward pass they are read as well.
        x, z, y: rows; in the backward pass dx, dz and dy.
        data: x in the backward pass.
        factor_diffs: gradient of the factors.
        first, rows: the rows of the task.
        length: values of a row.
    """

    factors: Region
    x: Region
    z: Region
    y: Region
    data: Region
    factor_diffs: Region
    first: int
    rows: int
    length: int


class _Rows:
    """What the kernels have in common.

    Args:
        e: the kernel being written.
        blocked: whether a row has 16 factors.
    """

    def __init__(self, e: Emitter, blocked: bool) -> None:
        self.e, self.args, self.blocked = e, e.arguments, blocked

    def at(self, name: str, offset: Value) -> Value:
        """A pointer into an operand."""
        return self.e.at(pointer(self.e, getattr(self.args, name)), offset)

    def factor(self, row: Value) -> Value:
        """A row's factors in all lanes."""
        e = self.e
        return (
            e.load(self.at("factors", e.multiply(row, LANES)))
            if self.blocked
            else e.splat(e.builder.load(self.at("factors", row)))
        )

    def sum(self, row: Value, body: Callable[[Value, Value], Value]) -> Value:
        """The sum of what is computed for the vectors of a row, given their offset and which lanes there are."""
        e, b = self.e, self.e.builder
        vectors = b.sdiv(e.add(self.args.length, LANES - 1), INT(LANES))
        start = e.multiply(row, self.args.length)
        with e.loop(vectors, [e.constant(0)]) as loop:
            done = e.multiply(loop.index, LANES)
            found = body(e.add(start, done), e.first_lanes(b.sub(self.args.length, done)))
            loop.carry([b.fadd(loop.values[0], found)])
        return loop.values[0]


@task_kernel(SumArguments)
def forward(e: Emitter, blocked: bool, adds: bool) -> None:
    """y = a x, or with ``adds`` y = a x + z, rounded twice as NumPy does."""
    rows, b = _Rows(e, blocked), e.builder
    x, z, y = (rows.at(name, INT(0)) for name in ("x", "z", "y"))
    with e.loop(rows.args.rows) as each:
        row = e.add(rows.args.first, each.index)
        factor = rows.factor(row)

        def add(offset: Value, lanes: Value, factor: Value = factor) -> Value:
            value = b.fmul(e.load_lanes(lanes, x, offset), factor)
            if adds:
                value = b.fadd(value, e.load_lanes(lanes, z, offset))
            e.store_lanes(lanes, value, y, offset)
            return e.constant(0)

        rows.sum(row, add)


@task_kernel(SumArguments)
def backward(e: Emitter, blocked: bool, needed: tuple[bool, bool, bool]) -> None:
    """da = Σ dy x, dx = a dy, dz = dy, as far as they are needed."""
    rows, b = _Rows(e, blocked), e.builder
    dx, dz, dy, x = (rows.at(name, INT(0)) for name in ("x", "z", "y", "data"))
    with e.loop(rows.args.rows) as each:
        row = e.add(rows.args.first, each.index)
        factor = rows.factor(row)

        def differentiate(offset: Value, lanes: Value, factor: Value = factor) -> Value:
            gradient = e.load_lanes(lanes, dy, offset)
            if needed[1]:
                e.store_lanes(lanes, b.fmul(gradient, factor), dx, offset)
            if needed[2]:
                e.store_lanes(lanes, gradient, dz, offset)
            return b.fmul(gradient, e.load_lanes(lanes, x, offset)) if needed[0] else e.constant(0)

        total = rows.sum(row, differentiate)
        if needed[0] and blocked:
            e.store(total, rows.at("factor_diffs", e.multiply(row, LANES)))
        elif needed[0]:
            b.store(e.sum_lanes(total), rows.at("factor_diffs", row))


@attrs.frozen
class Rows:
    """How a blob is divided into rows.

    Attributes:
        count: number of rows.
        length: values of each.
        blocked: whether a row has 16 factors.
    """

    count: int
    length: int
    blocked: bool


def program(
    memory: Mapping[str, Bindable],
    rows: Rows,
    needed: tuple[bool, bool, bool] | None,
    *,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """The program of a pass.

    Args:
        memory: operands by the names of `SumArguments`; what a pass does not use may be left out.
        rows: of the blobs.
        needed: which gradients are computed, those of a, x and z; None for the forward pass.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    kernel = forward(rows.blocked, "z" in memory) if needed is None else backward(rows.blocked, needed)
    cells = Cells()
    regions = {name: Region(cells.of(each)) for name, each in memory.items()}
    unused = next(iter(regions.values()))
    names = ("factors", "x", "z", "y", "data", "factor_diffs")
    operands = {name: regions.get(name, unused) for name in names}
    ranges = split(rows.count, tasks_for(rows.count * rows.length // LANES, threads))
    tasks = [
        [kernel.call(SumArguments(**operands, first=first, rows=count, length=rows.length))] for first, count in ranges
    ]
    return Tasks(min(threads, len(tasks)), cells, scratch("scaled_rows.threads", threads), [tasks])
