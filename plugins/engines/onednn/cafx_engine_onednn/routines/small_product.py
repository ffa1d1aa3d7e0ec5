"""A few rows times row-major weights, for small inference batches: the weights are read only once."""

from __future__ import annotations

import attrs

from cafx_lib_llvm import FLOAT, INT, LANES, Arguments, Emitter

from ..native import registers
from ..winograd.program import Bytes, Cells, Region, Scratch, Tasks, pointer, task_kernel
from ..winograd.tiling import split

TASKS_PER_THREAD = 8
MOST_OUTPUTS = 6
"""Outputs computed together at most. Matrices must have as many."""


@attrs.frozen(kw_only=True)
class RowsArguments(Arguments):
    """Arguments of `multiply_rows`.

    Attributes:
        x, weights, bias, y: inputs, parameters and outputs, all row-major.
        slope: of the ReLU; 1 for none.
        first, count: of the groups of outputs to compute.
        blocks: of 16 inputs.
        outputs: per row.
    """

    x: Region
    weights: Region
    bias: Region
    y: Region
    slope: float
    first: int
    count: int
    blocks: int
    outputs: int


def outputs_per_group(rows: int) -> int:
    """How many outputs of each row are computed together, their sums held in registers."""
    return max(1, min(MOST_OUTPUTS, registers() * 3 // 4 // rows))


@task_kernel(RowsArguments)
def multiply_rows(e: Emitter, rows: int) -> None:
    """y = relu(x · wᵀ + b) for groups of outputs. The last group overlaps the one before if outputs do not fill it."""
    args, b, some = e.arguments, e.builder, outputs_per_group(rows)
    x, weights, bias, y = (pointer(e, each) for each in (args.x, args.weights, args.bias, args.y))
    row, last = e.multiply(args.blocks, LANES), b.sub(args.outputs, INT(some))
    with e.loop(args.count) as group:
        start = e.multiply(e.add(args.first, group.index), some)
        start = b.select(b.icmp_signed("<", start, last), start, last)
        with e.loop(args.blocks, [e.constant(0)] * (some * rows)) as block:
            at = e.multiply(block.index, LANES)
            lines = [e.load(weights, e.multiply(e.add(start, k), row), at) for k in range(some)]
            values = [e.load(x, e.multiply(row, n), at) for n in range(rows)]
            pairs = [(line, value) for line in lines for value in values]
            block.carry([e.fma(*pair, total) for pair, total in zip(pairs, block.values, strict=True)])
        for index, each in enumerate(block.values):
            k, n = divmod(index, rows)
            output = e.add(start, k)
            total = b.fadd(e.sum_lanes(each), b.load(e.at(bias, output)))
            below = b.select(b.fcmp_ordered("==", args.slope, FLOAT(0.0)), FLOAT(0.0), b.fmul(total, args.slope))
            result = b.select(b.fcmp_ordered("<=", total, FLOAT(0.0)), below, total)
            b.store(result, e.at(y, e.multiply(args.outputs, n), output))


def product(
    shape: tuple[int, int, int],
    memory: tuple[Bytes, Bytes, Bytes | None, Bytes],
    slope: float | None,
    *,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """y = relu(x · wᵀ + b) as a program.

    Args:
        shape: rows, inputs and outputs.
        memory: x, w, b or None, and y.
        slope: of the ReLU, or None.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    (rows, inputs, outputs), (x, weights, bias, y), cells = shape, memory, Cells()
    zeros = scratch("small_product.zeros", outputs)
    regions = [Region(cells.of(zeros if each is None else each)) for each in (x, weights, bias, y)]
    operands = dict(zip(("x", "weights", "bias", "y"), regions, strict=True))
    kernel, groups = multiply_rows(rows), -(-outputs // outputs_per_group(rows))
    tasks = [
        [
            kernel.call(
                RowsArguments(
                    **operands,
                    slope=1.0 if slope is None else slope,
                    first=first,
                    count=count,
                    blocks=inputs // LANES,
                    outputs=outputs,
                )
            )
        ]
        for first, count in split(groups, TASKS_PER_THREAD * threads)
    ]
    return Tasks(threads, cells, scratch("small_product.threads", threads), [tasks])
