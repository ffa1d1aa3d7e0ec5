"""Kernels that take tiles of images, and weights, to factors and back.

Images lie as N × C/16 × H × W × 16, weights as O/16 × taps × I × 16; factors as matrices of C/16 × tiles × 16,
the weights' as panels of C × so many blocks × 16: what `products` multiplies. Channels that only fill a block
are zeros throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache

from ..emitter import BLOCK, FLOAT, INT, Emitter, Kernel, Value
from ..winograd.matrices import ONE, ZERO, Matrix, Scheme, turned

TILES = ("first", "count", "rows", "columns", "height", "width", "blocks")
"""Which tiles of which image: from the first on so many, of rows × columns an image of height × width
in so many blocks of channels."""
PANELS = ("weights", "start", "inputs", "block", "tap", "factors", "offset", "factor", "rows", "panel", "panels",
          "width")  # fmt: skip
"""The weights of one group: where they begin, their inputs, from one block of 16 outputs to the next and
from tap to tap; their factors, from factor to factor; the rows of a panel, the first block of the panels
that are meant, how many they are, and their blocks."""
Grid = list[list[Value]]
Held = Sequence[Sequence[Value]]
"""For each value of a tile whether it is part of the image."""


def combined(e: Emitter, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
    """The matrix times the values; rows that differ in signs alone are two sums' sum and difference."""
    made: dict[int, Value] = {}
    for i, row in enumerate(matrix):
        for j in range(i + 1, len(matrix)):
            if i in made or j in made or any(abs(a) != abs(b) for a, b in zip(row, matrix[j], strict=True)):
                continue
            same = [a if a == b else ZERO for a, b in zip(row, matrix[j], strict=True)]
            other = [a if a != b else ZERO for a, b in zip(row, matrix[j], strict=True)]
            if any(same) and any(other):
                even, odd = _sum(e, same, values), _sum(e, other, values)
                made[i], made[j] = e.builder.fadd(even, odd), e.builder.fsub(even, odd)
    return [made[i] if i in made else _sum(e, row, values) for i, row in enumerate(matrix)]


def _sum(e: Emitter, row: Sequence[Fraction], values: Sequence[Value]) -> Value:
    terms = sorted(((c, v) for c, v in zip(row, values, strict=True) if c), key=lambda term: term[0] != ONE)
    (first, total), *others = terms
    if first != ONE:
        total = e.builder.fmul(e.constant(float(first)), total)
    for factor, value in others:
        if abs(factor) == ONE:
            total = (e.builder.fadd if factor == ONE else e.builder.fsub)(total, value)
        else:
            total = e.fma(e.constant(float(factor)), value, total)
    return total


def squared(e: Emitter, matrix: Matrix, values: Grid) -> Grid:
    """The matrix times a square of values times the matrix turned."""
    columns = [combined(e, matrix, column) for column in zip(*values, strict=True)]
    return [combined(e, matrix, row) for row in zip(*columns, strict=True)]


def _each_tile(
    e: Emitter, step: int, body: Callable[[Value, Value, Value, Value], None], down: str, right: str
) -> None:
    """``body(tile, image, row, column)`` of each tile's first value, ``step`` between tiles, moved out by a pad."""
    b, number = e.builder, e.number
    columns, pads = number("columns"), (number(down), number(right)) if down else (INT(0), INT(0))
    first, per_image = number("first"), b.mul(number("rows"), columns)

    def tile(index: Value) -> None:
        which = b.add(first, index)
        image, rest = b.sdiv(which, per_image), b.srem(which, per_image)
        row, column = (b.mul(INT(step), each) for each in (b.sdiv(rest, columns), b.srem(rest, columns)))
        body(index, image, b.sub(row, pads[0]), b.sub(column, pads[1]))

    e.loop(number("count"), tile)


class _Place:
    """Where a tile lies in an image, block by block."""

    def __init__(self, e: Emitter, image: Value, row: Value, column: Value) -> None:
        self.e, self.row, self.column = e, row, column
        self.height, self.width = e.number("height"), e.number("width")
        self.line = e.product(self.width, BLOCK)
        self.plane = e.product(self.height, self.line)
        block = e.product(image, e.number("blocks"))
        self.start = e.sum(e.product(block, self.plane), e.product(row, self.line), e.product(column, BLOCK))

    def at(self, pointer: Value, block: Value) -> Value:
        """A pointer to the tile's first value in a block."""
        return self.e.at(pointer, self.start, self.e.product(block, self.plane))

    def offset(self, i: int, j: int) -> Value:
        """From there to another value."""
        return self.e.sum(self.e.product(self.line, i), INT(j * BLOCK))

    def either(self, side: int, body: Callable[[Held | None], None]) -> None:
        """``body(None)`` where a whole tile is part of the image; else it is told for each of its values."""
        with self.e.builder.if_else(self.inside(side)) as (then, otherwise):
            with then:
                body(None)
            with otherwise:
                body(self.holds(side))

    def inside(self, side: int) -> Value:
        """Whether a whole tile is part of the image."""
        e, b = self.e, self.e.builder
        ends = zip((self.row, self.column), (self.height, self.width), strict=True)
        tests = [(e.within(at, size), b.icmp_signed("<=", b.add(at, INT(side)), size)) for at, size in ends]
        return e.all(*(test for pair in tests for test in pair))

    def holds(self, side: int) -> Held:
        """For each of its values whether that is."""
        e = self.e
        rows = [e.within(e.sum(self.row, INT(i)), self.height) for i in range(side)]
        columns = [e.within(e.sum(self.column, INT(j)), self.width) for j in range(side)]
        return [[e.all(row, column) for column in columns] for row in rows]


@cache
def spread(matrix: Matrix, step: int, *, half: bool = False) -> Kernel:
    """Tiles of an image to factors; what lies outside the image counts as zero.

    Args:
        matrix: from a line of a tile to its factors.
        step: from tile to tile.
        half: whether the image is bfloat16.
    """
    e = Emitter("source", "down", "right", "target", "offset", "factor", "lane", *TILES)
    b, side = e.builder, len(matrix[0])
    source, target = e.memory("source", half=half), e.at(e.memory("target"), e.number("offset"))
    nothing = e.room(1, half=half, zero=True)

    def tile(index: Value, image: Value, row: Value, column: Value) -> None:
        place = _Place(e, image, row, column)
        out = e.at(target, e.product(index, BLOCK))

        def blocks(held: Held | None) -> None:
            def block(index: Value) -> None:
                start = place.at(source, index)

                def value(i: int, j: int) -> Value:
                    where = e.at(start, place.offset(i, j))
                    return e.load(b.select(held[i][j], where, nothing) if held else where)

                found = squared(e, matrix, [[value(i, j) for j in range(side)] for i in range(side)])
                first = e.at(out, e.product(index, e.number("lane"), BLOCK))
                for k, each in enumerate(each for line in found for each in line):
                    e.store(each, first, e.product(e.number("factor"), k))

            e.loop(e.number("blocks"), block)

        place.either(side, blocks)

    _each_tile(e, step, tile, "down", "right")
    return e.finish()


@cache
def gather(matrix: Matrix, *, half: bool = False) -> Kernel:
    """Products to results, with a bias and a unit of some slope; what lies outside the image is dropped.

    Args:
        matrix: from products to a line of results.
        half: whether the image is bfloat16.
    """
    e = Emitter("source", "offset", "factor", "lane", "bias", "slope", "target", *TILES)
    b, results, factors = e.builder, len(matrix), len(matrix[0])
    source, bias, target = e.at(e.memory("source"), e.number("offset")), e.memory("bias"), e.memory("target", half=half)
    slope, zero, nowhere = e.scalar("slope"), e.constant(0), e.room(1, half=half)

    def tile(index: Value, image: Value, row: Value, column: Value) -> None:
        place = _Place(e, image, row, column)
        start = e.at(source, e.product(index, BLOCK))

        def blocks(held: Held | None) -> None:
            def block(index: Value) -> None:
                first = e.at(start, e.product(index, e.number("lane"), BLOCK))
                values = [e.load(first, e.product(e.number("factor"), k)) for k in range(factors**2)]
                lines = [values[i * factors : (i + 1) * factors] for i in range(factors)]
                more = e.load(bias, e.product(index, BLOCK))
                out = place.at(target, index)
                for i, line in enumerate(squared(e, matrix, lines)):
                    for j, each in enumerate(line):
                        y = b.fadd(each, more)
                        y = b.select(b.fcmp_ordered(">", y, zero), y, b.fmul(slope, y))
                        where = e.at(out, place.offset(i, j))
                        e.store(y, b.select(held[i][j], where, nowhere) if held else where)

            e.loop(e.number("blocks"), block)

        place.either(results, blocks)

    _each_tile(e, results, tile, "", "")
    return e.finish()


class _Weights:
    """The weights of a kernel's arguments, and their factors."""

    def __init__(self, scheme: Scheme) -> None:
        e = self.e = Emitter(*PANELS, "first", "count")
        self.scheme, self.count = scheme, scheme.taps**2
        self.held = e.at(e.memory("weights"), e.number("start"))
        self.factors = e.at(e.memory("factors"), e.number("offset"))
        self.width, self.inputs = e.product(e.number("width"), BLOCK), e.number("inputs")
        self.zero = e.constant(0)

    def finish(self, body: Callable[[Value, Value, Value], None]) -> Kernel:
        """``body(which, block of columns, where its factors lie)`` from the first to the last; compiled."""
        e = self.e

        def block(which: Value, panel: Value, lane: Value) -> None:
            blocks = e.sum(e.number("panel"), e.product(panel, e.number("width")))
            start = e.product(blocks, e.number("rows"), BLOCK)
            body(which, e.sum(blocks, lane), e.at(self.factors, start, e.product(lane, BLOCK)))

        def each(index: Value) -> None:
            which = e.sum(e.number("first"), index)
            e.loop(e.number("panels"), lambda p: e.loop(e.number("width"), lambda n: block(which, p, n)) and None)

        e.loop(e.number("count"), each)
        return e.finish()

    def taps(self, row: Value, block: Value) -> list[Value]:
        """Pointers to the taps from an input to 16 outputs."""
        e = self.e
        place = e.at(self.held, e.product(row, BLOCK), e.product(block, e.number("block")))
        return [e.at(place, e.product(e.number("tap"), k)) for k in range(self.count)]

    def load(self, row: Value, where: Callable[[Value], Sequence[Value]]) -> list[Value]:
        """What lies where an input's values do; zeros for one that only fills a block."""
        e, b = self.e, self.e.builder
        there = b.icmp_signed("<", row, self.inputs)
        last = b.select(there, row, b.sub(self.inputs, INT(1)))
        return [b.select(there, e.load(each), self.zero) for each in where(last)]

    def spread(self, taps: Sequence[Value], factors: Value, row: Value) -> None:
        """Taps to a row of the factors."""
        e = self.e
        to = e.at(factors, e.product(row, self.width))
        found = squared(e, self.scheme.kernel, _lines(taps, self.scheme.taps))
        for k, each in enumerate(each for line in found for each in line):
            e.store(each, to, e.product(e.number("factor"), k))


def _lines(values: Sequence[Value], side: int) -> Grid:
    return [list(values[i * side : (i + 1) * side]) for i in range(side)]


@cache
def weights_ahead(scheme: Scheme) -> Kernel:
    """Weights of so many inputs to factors in panels of outputs."""
    w = _Weights(scheme)
    return w.finish(lambda row, block, to: w.spread(w.load(row, lambda there: w.taps(there, block)), to, row))


@cache
def weights_around(scheme: Scheme) -> Kernel:
    """Weights, their taps turned around, of so many blocks of outputs to factors in panels of inputs."""
    w = _Weights(scheme)
    e, count = w.e, w.count
    square = e.room(count * BLOCK)

    def block(which: Value, column: Value, to: Value) -> None:
        first = e.product(column, BLOCK)

        def tap(k: Value) -> None:
            place = e.at(w.held, e.product(which, e.number("block")), e.product(k, e.number("tap")))
            turned_around = e.product(e.builder.sub(INT(count - 1), k), BLOCK)
            inputs = [e.sum(first, INT(i)) for i in range(BLOCK)]
            rows = [w.load(i, lambda there: [e.at(place, e.product(there, BLOCK))])[0] for i in inputs]
            for i, each in enumerate(e.transposed(rows)):
                e.store(each, square, turned_around, INT(i * count * BLOCK))

        def output(i: Value) -> None:
            taps = [e.load(square, e.product(i, count * BLOCK), INT(k * BLOCK)) for k in range(count)]
            w.spread(taps, to, e.sum(e.product(which, BLOCK), i))

        e.loop(count, tap)
        e.loop(BLOCK, output)

    return w.finish(block)


@cache
def weights_back(scheme: Scheme) -> Kernel:
    """Factors of so many inputs in panels of outputs to the weights' gradient."""
    w = _Weights(scheme)
    e, side, matrix = w.e, scheme.factors, turned(scheme.kernel)

    def block(row: Value, column: Value, factors: Value) -> None:
        place = e.at(factors, e.product(row, w.width))
        found = [e.load(place, e.product(e.number("factor"), k)) for k in range(side**2)]
        taps = [each for line in squared(e, matrix, _lines(found, side)) for each in line]
        for pointer, each in zip(w.taps(row, column), taps, strict=True):
            e.store(each, pointer)

    return w.finish(block)


@cache
def filled() -> Kernel:
    """``held`` values, and zeros up to ``count`` of them."""
    e = Emitter("source", "target", "held", "count")
    b, source, target, held = e.builder, e.memory("source"), e.memory("target"), e.number("held")

    def value(index: Value) -> None:
        there = b.icmp_signed("<", index, held)
        found = b.load(b.gep(source, [b.select(there, index, INT(0))]))
        b.store(b.select(there, found, FLOAT(0.0)), b.gep(target, [index]))

    e.loop(e.number("count"), value)
    return e.finish()
