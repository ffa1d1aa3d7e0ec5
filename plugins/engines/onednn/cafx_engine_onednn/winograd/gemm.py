"""Kernels that multiply matrices of factors, a few rows and a panel of columns at a time in registers."""

from __future__ import annotations

from functools import cache

from ..emitter import BLOCK, INT, Emitter, Kernel, Value
from ..native import registers

ROWS = 12
"""Tiles come in multiples of this many."""
TOGETHER = 4
"""Values of the inner axis that one turn of the innermost loop takes."""
MATRICES = tuple(f"{name}{what}" for name in ("left", "right", "result") for what in ("", "_at", "_step"))
"""The memory, where in it the matrices begin and how far it is from factor to factor."""


def panels(blocks: int) -> list[tuple[int, int, int]]:
    """Panels for so many blocks of columns: first block, blocks of a panel, panels."""
    most = 4 if registers() >= 32 else 1
    count = -(-blocks // most)
    narrow = blocks // count
    wider = blocks - narrow * count
    found = [(0, narrow + 1, wider), (wider * (narrow + 1), narrow, count - wider)]
    return [each for each in found if each[2]]


@cache
def ahead(width: int) -> Kernel:
    """Of each factor ``outer`` tiles × ``inner`` blocks times panels of so many blocks: tiles × columns.

    Tiles lie in blocks that have room for ``lane`` of them.
    """
    e = Emitter(*MATRICES, "lane", "factors", "inner", "outer", "panels")
    rows = 6 if width >= 3 or registers() < 32 else ROWS
    left, right, result = _matrices(e)
    lane, inner = e.product(e.number("lane"), BLOCK), e.number("inner")
    turns = e.builder.sdiv(e.number("outer"), INT(rows))

    def part(a: Value, b: Value, out: Value) -> None:
        def block(index: Value, *held: Value) -> list[Value]:
            values, panel = e.at(a, e.product(index, lane)), e.at(b, e.product(index, BLOCK * BLOCK * width))

            def turn(index: Value, *held: Value) -> list[Value]:
                found, first = list(held), e.product(index, TOGETHER)
                for k in range(TOGETHER):
                    row = e.at(panel, e.product(e.sum(first, INT(k)), BLOCK * width))
                    columns = [e.load(row, INT(n * BLOCK)) for n in range(width)]
                    _multiply(e, [e.at(values, first, INT(k + i * BLOCK)) for i in range(rows)], columns, found)
                return found

            return e.loop(BLOCK // TOGETHER, turn, held)

        sums = e.loop(inner, block, [e.constant(0)] * (rows * width))
        for index, each in enumerate(sums):
            i, n = divmod(index, width)
            e.store(each, out, INT(i * BLOCK), e.product(lane, n))

    def factor(f: Value) -> None:
        a, b, out = (e.at(m, e.product(f, e.number(f"{n}_step"))) for n, m in (left, right, result))

        def panel(p: Value) -> None:
            columns = e.at(b, e.product(p, inner, BLOCK * BLOCK * width))
            to = e.at(out, e.product(p, lane, width))

            def some(r: Value) -> None:
                start = e.product(r, rows * BLOCK)
                part(e.at(a, start), columns, e.at(to, start))

            e.loop(turns, some)

        e.loop(e.number("panels"), panel)

    e.loop(e.number("factors"), factor)
    return e.finish()


@cache
def back(width: int) -> Kernel:
    """Of each factor ``outer`` blocks of inputs × ``inner`` tiles times panels of tiles × columns.

    Where ``add`` is not 0, this is added to what the panels hold.
    """
    e = Emitter(*MATRICES, "lane", "factors", "inner", "outer", "panels", "add")
    rows = 4 if width == 4 or registers() < 32 else 8
    left, right, result = _matrices(e)
    lane, outer = e.product(e.number("lane"), BLOCK), e.number("outer")
    add = e.builder.icmp_signed("!=", e.number("add"), INT(0))
    zero = e.constant(0)

    def part(a: Value, b: Value, out: Value) -> None:
        def tile(t: Value, *held: Value) -> list[Value]:
            found, row = list(held), e.product(t, BLOCK)
            columns = [e.load(b, row, e.product(lane, n)) for n in range(width)]
            _multiply(e, [e.at(a, row, INT(i)) for i in range(rows)], columns, found)
            return found

        places = [INT((i * width + n) * BLOCK) for i in range(rows) for n in range(width)]
        before = [e.builder.select(add, e.load(out, place), zero) for place in places]
        for place, each in zip(places, e.loop(e.number("inner"), tile, before), strict=True):
            e.store(each, out, place)

    def factor(f: Value) -> None:
        a, b, out = (e.at(m, e.product(f, e.number(f"{n}_step"))) for n, m in (left, right, result))

        def panel(p: Value) -> None:
            columns = e.at(b, e.product(p, lane, width))
            to = e.at(out, e.product(p, outer, BLOCK * BLOCK * width))

            def block(c: Value) -> None:
                values, first = e.at(a, e.product(c, lane)), e.at(to, e.product(c, BLOCK * BLOCK * width))

                def some(h: Value) -> None:
                    part(e.at(values, e.product(h, rows)), columns, e.at(first, e.product(h, rows * width * BLOCK)))

                e.loop(BLOCK // rows, some)

            e.loop(outer, block)

        e.loop(e.number("panels"), panel)

    e.loop(e.number("factors"), factor)
    return e.finish()


@cache
def sums() -> Kernel:
    """The sum of ``inner`` tiles in each of ``outer`` blocks; ``add``: to what is there."""
    e = Emitter("left", "left_at", "result", "result_at", "lane", "inner", "outer", "add")
    left, result = (e.at(e.memory(name), e.number(f"{name}_at")) for name in ("left", "result"))
    add = e.builder.icmp_signed("!=", e.number("add"), INT(0))

    def block(c: Value) -> None:
        values, out = e.at(left, e.product(c, e.number("lane"), BLOCK)), e.at(result, e.product(c, BLOCK))

        def tile(t: Value, held: Value) -> list[Value]:
            return [e.builder.fadd(held, e.load(values, e.product(t, BLOCK)))]

        before = e.builder.select(add, e.load(out), e.constant(0))
        e.store(e.loop(e.number("inner"), tile, [before])[0], out)

    e.loop(e.number("outer"), block)
    return e.finish()


def _matrices(e: Emitter) -> list[tuple[str, Value]]:
    return [(name, e.at(e.memory(name), e.number(f"{name}_at"))) for name in ("left", "right", "result")]


def _multiply(e: Emitter, scalars: list[Value], columns: list[Value], held: list[Value]) -> None:
    """Add the products of scalars (at pointers) and columns to what is held, row by row."""
    for i, pointer in enumerate(scalars):
        value = e.splat(e.builder.load(pointer))
        for n, column in enumerate(columns):
            held[i * len(columns) + n] = e.fma(value, column, held[i * len(columns) + n])
