"""Matrix products in the transform domain: a few rows and a panel of columns at a time, in registers."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx_lib_llvm import INT, Arguments, Emitter, Value

from ..native import registers
from .program import Region, pointer, task_kernel
from .tiling import BLOCK, TILE_MULTIPLE

UNROLLED = 4
"""Terms of a sum per iteration of the innermost loop."""
WIDEST = 4
"""Blocks of columns of a panel, at most."""
Panels = tuple[int, int, int]


def panels(blocks: int) -> list[Panels]:
    """Division of blocks of columns into panels: first block, blocks per panel, and number of panels."""
    widest = WIDEST if registers() >= 32 else 1
    count = -(-blocks // widest)
    narrow = blocks // count
    wider = blocks - narrow * count
    both = [(0, narrow + 1, wider), (wider * (narrow + 1), narrow, count - wider)]
    return [each for each in both if each[2]]


@attrs.frozen(kw_only=True)
class ProductArguments(Arguments):
    """Arguments of `multiply`.

    Attributes:
        left, right, result: the matrices of the first component.
        left_stride, right_stride, result_stride: distance in floats between components.
        capacity: number of tiles allocated in left and result.
        components: number of components to multiply.
        blocks: number of blocks of the axis that is summed over.
        tiles: number of rows of the result, a multiple of `TILE_MULTIPLE`.
        panels: of the result's columns.
    """

    left: Region
    right: Region
    result: Region
    left_stride: int
    right_stride: int
    result_stride: int
    capacity: int
    components: int
    blocks: int
    tiles: int
    panels: int


@task_kernel(ProductArguments)
def multiply(e: Emitter, width: int) -> None:
    """result = left · right for each component.

    Left is blocks × tiles × 16, right panels × (blocks · 16) × (width · 16), and result
    (panels · width) × tiles × 16. While a panel is multiplied, the following one is fetched into the caches: it takes
    several turns over the rows to use a panel, but the first one alone would wait for memory.
    """
    args = e.arguments
    rows = 6 if width >= 3 or registers() < 32 else TILE_MULTIPLE
    left, right, result = (pointer(e, each) for each in (args.left, args.right, args.result))
    lane, blocks = e.multiply(args.capacity, BLOCK), args.blocks
    turns = e.builder.sdiv(args.tiles, INT(rows))
    with e.loop(args.components) as component, e.loop(args.panels) as panel, e.loop(turns) as turn:
        start = e.multiply(turn.index, rows * BLOCK)
        values = e.at(left, e.multiply(component.index, args.left_stride), start)
        columns = e.at(
            right,
            e.multiply(component.index, args.right_stride),
            e.multiply(panel.index, blocks, BLOCK * BLOCK * width),
        )
        out = e.at(result, e.multiply(component.index, args.result_stride), e.multiply(panel.index, lane, width), start)
        share = e.multiply(e.add(width, turn.index), blocks, BLOCK * BLOCK)
        ahead = e.builder.select(e.is_within(turn.index, INT(width)), e.at(columns, share), columns)
        sums = _panel_product(e, values, columns, ahead, (rows, width), lane, blocks)
        for index, each in enumerate(sums):
            i, n = divmod(index, width)
            e.store(each, out, i * BLOCK, e.multiply(lane, n))


def _panel_product(
    e: Emitter, left: Value, right: Value, ahead: Value, shape: tuple[int, int], lane: Value, blocks: Value
) -> Sequence[Value]:
    """A few rows times a panel of columns, while as many cache lines as terms are summed are fetched from ``ahead``."""
    rows, width = shape
    with e.loop(blocks, [e.constant(0)] * (rows * width)) as block:
        values = e.at(left, e.multiply(block.index, lane))
        panel = e.at(right, e.multiply(block.index, BLOCK * BLOCK * width))
        with e.loop(BLOCK // UNROLLED, block.values) as turn:
            sums, first = turn.values, e.multiply(turn.index, UNROLLED)
            for k in range(UNROLLED):
                row = e.at(panel, e.multiply(e.add(first, k), BLOCK * width))
                e.prefetch(ahead, e.multiply(e.add(e.multiply(block.index, BLOCK), first, k), BLOCK))
                columns = [e.load(row, n * BLOCK) for n in range(width)]
                scalars = [e.at(values, first, k + i * BLOCK) for i in range(rows)]
                sums = _add_products(e, scalars, columns, sums)
            turn.carry(sums)
        block.carry(turn.values)
    return block.values


@attrs.frozen(kw_only=True)
class TransposedProductArguments(Arguments):
    """Arguments of `multiply_transposed`.

    Attributes:
        left, right, result: the matrices.
        capacity: number of tiles allocated in left and right.
        tiles: number of tiles to sum over.
        blocks: number of blocks of left's channels, the rows of the result.
        panels: of the result's columns.
        accumulate: whether the products are added to the result.
    """

    left: Region
    right: Region
    result: Region
    capacity: int
    tiles: int
    blocks: int
    panels: int
    accumulate: int


@task_kernel(TransposedProductArguments)
def multiply_transposed(e: Emitter, width: int) -> None:
    """result = leftᵀ · right, or result += leftᵀ · right, of one component.

    Left is blocks × tiles × 16, right (panels · width) × tiles × 16, and result
    panels × (blocks · 16) × (width · 16).
    """
    args = e.arguments
    rows = 4 if width == 4 or registers() < 32 else 8
    left, right, result = (pointer(e, each) for each in (args.left, args.right, args.result))
    lane, blocks = e.multiply(args.capacity, BLOCK), args.blocks
    accumulate = e.builder.icmp_signed("!=", args.accumulate, INT(0))
    places = [(i * width + n) * BLOCK for i in range(rows) for n in range(width)]
    with e.loop(args.panels) as panel, e.loop(blocks) as block, e.loop(BLOCK // rows) as part:
        first = e.multiply(part.index, rows)
        values = e.at(left, e.multiply(block.index, lane), first)
        columns = e.at(right, e.multiply(panel.index, lane, width))
        out = e.at(
            result,
            e.multiply(e.add(e.multiply(panel.index, blocks), block.index), BLOCK * BLOCK * width),
            e.multiply(first, width * BLOCK),
        )
        before = [e.builder.select(accumulate, e.load(out, place), e.constant(0)) for place in places]
        with e.loop(args.tiles, before) as tile:
            row = e.multiply(tile.index, BLOCK)
            vectors = [e.load(columns, row, e.multiply(lane, n)) for n in range(width)]
            scalars = [e.at(values, row, i) for i in range(rows)]
            tile.carry(_add_products(e, scalars, vectors, tile.values))
        for place, each in zip(places, tile.values, strict=True):
            e.store(each, out, place)


@attrs.frozen(kw_only=True)
class SumArguments(Arguments):
    """Arguments of `sum_tiles`.

    Attributes:
        source, result: a matrix of blocks × tiles × 16, and 16 sums per block.
        capacity: number of tiles allocated in the source.
        tiles, blocks: number of tiles and of blocks.
        accumulate: whether the sums are added to the result.
    """

    source: Region
    result: Region
    capacity: int
    tiles: int
    blocks: int
    accumulate: int


@task_kernel(SumArguments)
def sum_tiles(e: Emitter) -> None:
    """The sum over the tiles of one component."""
    args = e.arguments
    source, result = pointer(e, args.source), pointer(e, args.result)
    accumulate = e.builder.icmp_signed("!=", args.accumulate, INT(0))
    with e.loop(args.blocks) as block:
        values = e.at(source, e.multiply(block.index, args.capacity, BLOCK))
        out = e.at(result, e.multiply(block.index, BLOCK))
        before = e.builder.select(accumulate, e.load(out), e.constant(0))
        with e.loop(args.tiles, [before]) as tile:
            tile.carry([e.builder.fadd(tile.values[0], e.load(values, e.multiply(tile.index, BLOCK)))])
        e.store(tile.values[0], out)


def _add_products(e: Emitter, scalars: Sequence[Value], columns: Sequence[Value], sums: Sequence[Value]) -> list[Value]:
    """Add to the sums of each row the products of a scalar (given by its pointer) and the columns."""
    values = [e.splat(e.builder.load(each)) for each in scalars]
    products = [(value, column) for value in values for column in columns]
    return [e.fma(*pair, total) for pair, total in zip(products, sums, strict=True)]
