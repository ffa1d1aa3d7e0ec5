"""Kernels along columns: each row of the top is a blend of two rows of planes, and the transposed of that."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_engine_onednn.operands import Bindable
from cafx_engine_onednn.valuewise import tasks_for
from cafx_engine_onednn.winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from cafx_engine_onednn.winograd.tiling import split
from cafx_lib_llvm import INT, INTS, LANES, Arguments, Emitter, Value
from cafx_lib_llvm.emitter import FLOATS


class Blends:
    """For each row of the top the two rows that it is a blend of, and their weights.

    Args:
        rows: the matrix of an interpolation, with at most two neighbouring weights per row.

    Example:
        >>> Blends(np.array([[1, 0], [0.5, 0.5], [0, 1]])).neighbours.tolist()
        [[0, 1], [0, 1], [1, 1]]
    """

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        outputs, self.inputs = rows.shape
        first = (rows != 0).argmax(axis=1)
        second = np.minimum(first + 1, self.inputs - 1)
        each = np.arange(outputs)
        self.neighbours = np.stack([first, second], axis=1).astype(np.int64)
        self.weights = np.stack([rows[each, first], np.where(second > first, rows[each, second], 0)], axis=1)
        self.weights = np.ascontiguousarray(self.weights, np.float32)

    def __len__(self) -> int:
        return len(self.neighbours)


@attrs.frozen(kw_only=True)
class BlendArguments(Arguments):
    """Arguments of the kernels.

    Attributes:
        narrow: planes with the bottom's number of rows.
        wide: planes with the top's.
        neighbours: address of two row numbers per row of the top.
        weights: address of two floats per row of the top.
        inputs, outputs: rows of a plane before and after.
        width: values of a row.
        first, count: rows of all planes, or planes, that the task computes.
    """

    narrow: Region
    wide: Region
    neighbours: int
    weights: int
    inputs: int
    outputs: int
    width: int
    first: int
    count: int


class _Row:
    """A row of the top: its two neighbours in a plane, and their weights."""

    def __init__(self, e: Emitter, plane: Value, row: Value) -> None:
        args, pair = e.arguments, e.multiply(row, 2)
        planes = e.at(pointer(e, args.narrow), e.multiply(plane, args.inputs, args.width))
        table = e.builder.inttoptr(args.neighbours, INTS)
        weights = e.builder.inttoptr(args.weights, FLOATS)
        self.upper, self.lower = (
            e.at(planes, e.multiply(e.load_int(table, e.add(pair, each)), args.width)) for each in (0, 1)
        )
        self.weights = [e.splat(e.builder.load(e.at(weights, e.add(pair, each)))) for each in (0, 1)]
        self.wide = e.at(pointer(e, args.wide), e.multiply(e.add(e.multiply(plane, args.outputs), row), args.width))


def _vectors(e: Emitter) -> Value:
    """Number of vectors of a row."""
    return e.builder.sdiv(e.add(e.arguments.width, LANES - 1), INT(LANES))


def _lanes(e: Emitter, index: Value) -> tuple[Value, Value]:
    """Where a vector of a row begins, and which of its lanes there are."""
    start = e.multiply(index, LANES)
    return start, e.first_lanes(e.builder.sub(e.arguments.width, start))


@task_kernel(BlendArguments)
def blend(e: Emitter) -> None:
    """Rows of the top from those of planes."""
    b, args = e.builder, e.arguments
    with e.loop(args.count) as each:
        number = e.add(args.first, each.index)
        row = _Row(e, b.sdiv(number, args.outputs), b.srem(number, args.outputs))
        with e.loop(_vectors(e)) as loop:
            start, lanes = _lanes(e, loop.index)
            upper = b.fmul(e.load_lanes(lanes, row.upper, start), row.weights[0])
            value = e.fma(e.load_lanes(lanes, row.lower, start), row.weights[1], upper)
            e.store_lanes(lanes, value, row.wide, start)


@task_kernel(BlendArguments)
def collect(e: Emitter) -> None:
    """Planes from the rows of the top, each added to both of its neighbours by its weights."""
    args = e.arguments
    with e.loop(args.count) as each:
        plane = e.add(args.first, each.index)
        target = e.at(pointer(e, args.narrow), e.multiply(plane, args.inputs, args.width))
        with e.loop(args.inputs) as line, e.loop(_vectors(e)) as loop:
            start, lanes = _lanes(e, loop.index)
            e.store_lanes(lanes, e.constant(0), target, e.multiply(line.index, args.width), start)
        with e.loop(args.outputs) as line:
            row = _Row(e, plane, line.index)
            with e.loop(_vectors(e)) as loop:
                start, lanes = _lanes(e, loop.index)
                value = e.load_lanes(lanes, row.wide, start)
                for place, weight in zip((row.upper, row.lower), row.weights, strict=True):
                    e.store_lanes(lanes, e.fma(value, weight, e.load_lanes(lanes, place, start)), place, start)


def program(
    narrow: Bindable, wide: Bindable, blends: Blends, planes: int, width: int, *, backward: bool, threads: int,
    scratch: Scratch,
) -> Tasks:  # fmt: skip
    """The program of a pass.

    Args:
        narrow: planes with the bottom's rows, each of ``width`` values; in the backward pass the result.
        wide: planes with the top's rows; in the forward pass the result.
        blends: the rows' neighbours and weights; they must live as long as the program.
        planes: their number.
        width: values of a row.
        backward: the direction.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    cells, outputs = Cells(), len(blends)
    constants = {
        "narrow": Region(cells.of(narrow)),
        "wide": Region(cells.of(wide)),
        "neighbours": int(blends.neighbours.ctypes.data),
        "weights": int(blends.weights.ctypes.data),
        "inputs": blends.inputs,
        "outputs": outputs,
        "width": width,
    }
    kernel, count = (collect(), planes) if backward else (blend(), planes * outputs)
    tasks = [
        [kernel.call(BlendArguments(**constants, first=first, count=size))]
        for first, size in split(count, tasks_for(planes * outputs * width // LANES, threads))
    ]
    return Tasks(min(threads, len(tasks)), cells, scratch("interpolation.threads", threads), [tasks])
