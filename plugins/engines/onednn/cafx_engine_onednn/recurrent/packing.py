"""Weights of a recurrence as its products read them: panels of columns, side by side for each term of a sum."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx_lib_llvm import INT, LANES, Arguments, Emitter

from ..winograd.program import Bytes, Cells, Region, Task, pointer, task_kernel

BLOCK = LANES


def round_up(count: int) -> int:
    """The next multiple of a vector's length."""
    return -(-count // BLOCK) * BLOCK


@attrs.frozen
class Panels:
    """Division of a product's columns into panels of ``width`` vectors.

    A vector has 16 neighbouring units. In a forward product, those of a panel are the gates of the same units where
    there are several gates, else neighbours.

    Attributes:
        units: number of hidden units.
        gates: columns per unit.
        width: vectors per panel.
    """

    units: int
    gates: int
    width: int

    @property
    def units_per_panel(self) -> int:
        """Units whose columns are in one panel."""
        return self.width // self.gates * BLOCK

    @property
    def count(self) -> int:
        """Number of panels."""
        return -(-self.units // self.units_per_panel)

    def size(self, terms: int) -> int:
        """Values of one panel for sums of so many terms."""
        return round_up(terms) * self.width * BLOCK


@attrs.frozen(kw_only=True)
class PackArguments(Arguments):
    """Arguments of `pack` and `pack_transposed`.

    Attributes:
        source: the weights, row-major.
        target: the panel.
        terms: length of the sums.
        columns: of the source.
        start: the panel's first unit.
        units: number of units.
    """

    source: Region
    target: Region
    terms: int
    columns: int
    start: int
    units: int


@task_kernel(PackArguments)
def pack(e: Emitter, width: int) -> None:
    """A panel of the columns of terms × units weights: the product of a step's gradient."""
    args = e.arguments
    source, target = pointer(e, args.source), pointer(e, args.target)
    masks = [e.first_lanes(e.builder.sub(args.units, e.add(args.start, n * BLOCK))) for n in range(width)]
    with e.loop(args.terms) as term:
        row = e.at(source, e.multiply(term.index, args.columns), args.start)
        out = e.at(target, e.multiply(term.index, width * BLOCK))
        for n, mask in enumerate(masks):
            e.store(e.load_lanes(mask, row, n * BLOCK), out, n * BLOCK)


@task_kernel(PackArguments)
def pack_transposed(e: Emitter, width: int, gates: int) -> None:
    """A panel of the rows of (gates · units) × terms weights: the product of a step."""
    args, b = e.arguments, e.builder
    source, target = pointer(e, args.source), pointer(e, args.target)
    last = b.sub(args.units, INT(1))
    turns = b.sdiv(e.add(args.terms, BLOCK - 1), INT(BLOCK))
    for n in range(width):
        start = args.start if gates > 1 else e.add(args.start, n * BLOCK)
        lines = []
        for lane in range(BLOCK):
            unit = e.add(start, lane)
            unit = b.select(b.icmp_signed("<", unit, last), unit, last)  # what lies behind the last is not used
            row = e.add(e.multiply(args.units, n if gates > 1 else 0), unit)
            lines.append(e.at(source, e.multiply(row, args.columns)))
        with e.loop(turns) as turn:
            first = e.multiply(turn.index, BLOCK)
            mask = e.first_lanes(b.sub(args.terms, first))
            columns = e.transpose([e.load_lanes(mask, line, first) for line in lines])
            for k, column in enumerate(columns):
                e.store(column, target, e.multiply(e.add(first, k), width * BLOCK), n * BLOCK)


def packing(
    source: Bytes, target: Bytes, panels: Panels, terms: int, cells: Cells, *, transposed: bool
) -> Sequence[Task]:
    """The tasks that pack weights.

    Args:
        source: the weights, (gates · units) × terms if transposed, else terms × units.
        target: where the panels go.
        panels: of the units.
        terms: length of the sums.
        cells: of the program.
        transposed: whether the weights' rows are the columns.
    """
    kernel = pack_transposed(panels.width, panels.gates) if transposed else pack(panels.width)
    read, written = cells.of(source), cells.of(target)
    columns = terms if transposed else panels.units
    return [
        [
            kernel.call(
                PackArguments(
                    source=Region(read),
                    target=Region(written, index * panels.size(terms)),
                    terms=terms,
                    columns=columns,
                    start=index * panels.units_per_panel,
                    units=panels.units,
                )
            )
        ]
        for index in range(panels.count)
    ]
