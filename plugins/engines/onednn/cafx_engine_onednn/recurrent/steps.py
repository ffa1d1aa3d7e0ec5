"""The kernels of one time step: a product, and what a cell makes of it, for one panel and some groups of streams."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import attrs

from cafx_lib_llvm import Arguments, Emitter, Value
from cafx_lib_llvm.arguments import fields

from ..winograd.program import Region, pointer, task_kernel
from .cells import CELLS, Apply, vectors
from .products import panel_product


@attrs.frozen(kw_only=True)
class StepArguments(Arguments):
    """Arguments of `step` and `step_gradient`, for N streams of H hidden units.

    Attributes:
        left: rows of the product: the states that the step starts from; in the gradient, that of the next step's sums.
        weights: the panel.
        sums: the products of the inputs, N × gates · H, which become the gates.
        cells: cell states before the step and after it, 2 × N × H.
        hidden: the states after the step, N × H; in an RNN's gradient, too.
        following: the same times the next markers.
        diff: the gradient of the hidden states from elsewhere, N × H.
        cell_diff: the gradient of the cell states after the step, which becomes that of those before it, N × H.
        sum_diff: the gradient of the sums; written.
        bias_diff: the same, summed up over streams and steps, gates · H; added to.
        markers: of the step.
        following_markers: of the next one.
        units: H.
        terms: length of the product's sums.
        state: N · H.
        start: the panel's first unit.
        first, groups: the first stream, and the number of groups.
        limit: gradients of sums are cut off at ± its value.
    """

    left: Region
    weights: Region
    sums: Region
    cells: Region
    hidden: Region
    following: Region
    diff: Region
    cell_diff: Region
    sum_diff: Region
    bias_diff: Region
    markers: Region
    following_markers: Region
    units: int
    terms: int
    state: int
    start: int
    first: int
    groups: int
    limit: float


REGIONS = tuple(name for name, kind in fields(StepArguments).items() if kind is Region)
"""The arguments that are memory."""


@task_kernel(StepArguments)
def step(e: Emitter, cell: str, rows: int, width: int) -> None:
    """From the states before a step to those after it."""
    kind = CELLS[cell]
    _run(e, kind.forward, (rows, width, width // kind.gates), multiplies=True)


@task_kernel(StepArguments)
def step_gradient(e: Emitter, cell: str, rows: int, width: int, last: bool) -> None:
    """From the gradient of the next step's sums to that of this one's; the last step has no next one."""
    _run(e, CELLS[cell].backward, (rows, width, width), multiplies=not last)


def _run(e: Emitter, apply: Apply, shape: tuple[int, int, int], *, multiplies: bool) -> None:
    """A panel for groups of ``rows`` streams; of ``width`` vectors, which have so many vectors of units."""
    (rows, width, count), args = shape, e.arguments
    memory = SimpleNamespace(**{name: pointer(e, getattr(args, name)) for name in REGIONS})
    with e.loop(args.groups) as group:
        first = e.add(args.first, e.multiply(group.index, rows))
        streams = [e.add(first, row) for row in range(rows)]
        products: Sequence[Sequence[Value] | None] = [None] * rows
        if multiplies:
            lefts = [e.at(memory.left, e.multiply(stream, args.terms)) for stream in streams]
            products = panel_product(e, lefts, memory.weights, args.terms, width)
        for stream, product in zip(streams, products, strict=True):
            apply(vectors(e, args, memory, stream, count), product)
