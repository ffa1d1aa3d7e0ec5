"""Few rows times weights that lie as they are: what is read once is best read where it is."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..emitter import BLOCK, FLOAT, INT, Emitter, Kernel, Value, slope_bits
from ..native import registers
from ..routine import Bindable
from ..winograd.program import Cells, Tasks
from ..winograd.tiling import shares
from .inner_product import FEWEST_OUTPUTS

ZEROS = (1 << 16) + 16
"""The slot of a bias that is none."""
PARTS = 8
"""Tasks a thread."""


def together(rows: int) -> int:
    """How many outputs are computed at a time, their sums in registers."""
    return max(1, min(FEWEST_OUTPUTS, registers() * 3 // 4 // rows))


@cache
def dots(rows: int) -> Kernel:
    """y = unit(w · x + b) for ``count`` turns of outputs from ``first`` on: sums over ``inner`` blocks of 16.

    The last turn begins early where outputs do not fill it.
    """
    e = Emitter("x", "weights", "bias", "slope", "y", "first", "count", "inner", "outputs")
    b, some, inner, outputs = e.builder, together(rows), e.number("inner"), e.number("outputs")
    x, weights, bias, y = (e.memory(name) for name in ("x", "weights", "bias", "y"))
    row, slope = e.product(inner, BLOCK), e.scalar("slope")
    slope, zero = b.extract_element(slope, INT(0)), FLOAT(0.0)
    last = b.sub(outputs, INT(some))

    def turn(index: Value) -> None:
        wanted = e.product(e.sum(e.number("first"), index), some)
        start = b.select(b.icmp_signed("<", wanted, last), wanted, last)

        def block(index: Value, *held: Value) -> list[Value]:
            at = e.product(index, BLOCK)
            lines = [e.load(weights, e.product(e.sum(start, INT(k)), row), at) for k in range(some)]
            values = [e.load(x, e.product(row, n), at) for n in range(rows)]
            pairs = [(line, value) for line in lines for value in values]
            return [e.fma(*pair, total) for pair, total in zip(pairs, held, strict=True)]

        for index, each in enumerate(e.loop(inner, block, [e.constant(0)] * (some * rows))):
            k, n = divmod(index, rows)
            where = e.sum(start, INT(k))
            total = b.fadd(e.total(each), b.load(b.gep(bias, [where])))
            scaled = b.fmul(total, slope)
            positive = b.fcmp_ordered(">", total, zero)
            b.store(b.select(positive, total, scaled), b.gep(y, [e.sum(e.product(outputs, n), where)]))

    e.loop(e.number("count"), turn)
    return e.finish()


def product(
    build: Any, rows: tuple[int, int], outputs: int, memory: tuple[Bindable, Bindable, Bindable | None, Bindable],
    slope: float | None,
) -> Tasks:  # fmt: skip
    """y = unit(w · x + b) as a program.

    Args:
        build: whose threads and memory are used.
        rows: how many, and their length.
        outputs: how many a row has.
        memory: x, w, b or None, and y.
        slope: of the unit, or None.
    """
    count, length = rows
    kernel, cells = dots(count), Cells()
    zeros = build.scratch.floats("no bias", outputs)
    held = (zeros if each is None else each for each in memory)
    where = dict(zip(("x", "weights", "bias", "y"), map(cells.of, held), strict=True))
    unit = slope_bits(slope)
    turns = -(-outputs // together(count))
    tasks = [
        [(kernel, kernel.arguments(**where, slope=unit, first=f, count=n, inner=length // BLOCK, outputs=outputs))]
        for f, n in shares(turns, PARTS * build.engine.threads)
    ]
    return Tasks(build.engine.threads, cells, build.scratch.floats("threads", build.engine.threads), [tasks])
