"""Products of a step: a few streams times a panel of columns, in registers; and the division of streams into groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cafx_lib_llvm import INT, Emitter, Value

from ..native import registers
from .packing import BLOCK

UNROLLED = 4
"""Terms of a sum per iteration of the innermost loop."""
MOST_ROWS = 12


def most_rows(width: int) -> int:
    """How many streams are multiplied together at most, with panels of ``width`` vectors."""
    return min(MOST_ROWS, max(1, (registers() - width - 2) // width))


def row_groups(streams: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Groups of streams that are multiplied together: rows of a group, first row, and number of such groups.

    Example:
        >>> list(row_groups(16, 6))
        [(6, 0, 1), (5, 6, 2)]
    """
    count = -(-streams // most)
    rows, larger = divmod(streams, count)
    for size, first, groups in ((rows + 1, 0, larger), (rows, larger * (rows + 1), count - larger)):
        if groups:
            yield size, first, groups


def panel_product(e: Emitter, lefts: Sequence[Value], panel: Value, terms: Value, width: int) -> list[Sequence[Value]]:
    """Rows times a panel of columns.

    Args:
        e: the kernel being written.
        lefts: pointers to the rows.
        panel: pointer to terms × (16 · width) values.
        terms: length of the sums.
        width: vectors per panel.

    Returns:
        ``width`` vectors for each row.
    """
    b = e.builder

    def add(sums: Sequence[Value], k: Value) -> list[Value]:
        columns = [e.load(panel, e.multiply(k, width * BLOCK), n * BLOCK) for n in range(width)]
        scalars = [e.splat(b.load(e.at(left, k))) for left in lefts]
        pairs = [(scalar, column) for scalar in scalars for column in columns]
        return [e.fma(*pair, total) for pair, total in zip(pairs, sums, strict=True)]

    zeros = [e.constant(0)] * (width * len(lefts))
    whole = b.sdiv(terms, INT(UNROLLED))
    with e.loop(whole, zeros, may_be_empty=True) as turn:
        sums: Sequence[Value] = turn.values
        for k in range(UNROLLED):
            sums = add(sums, e.add(e.multiply(turn.index, UNROLLED), k))
        turn.carry(sums)
    done = e.multiply(whole, UNROLLED)
    with e.loop(b.sub(terms, done), turn.values, may_be_empty=True) as rest:
        rest.carry(add(rest.values, e.add(done, rest.index)))
    return [rest.values[row * width : (row + 1) * width] for row in range(len(lefts))]
