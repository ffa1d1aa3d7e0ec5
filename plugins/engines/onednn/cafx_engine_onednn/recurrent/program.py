"""The steps of a recurrent layer as one program, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import attrs

from cafx_lib_llvm import LANES, Arguments, Emitter

from ..winograd.program import Bytes, Cells, Region, Scratch, Task, Tasks, pointer, task_kernel
from .cells import CELLS
from .packing import Panels, packing
from .products import most_rows, row_groups
from .steps import REGIONS, StepArguments, step, step_gradient

WIDEST = 4
"""Vectors of a panel at most."""


@attrs.frozen
class Sequences:
    """The sizes of a recurrent layer.

    Attributes:
        cell: its cell, a key of `CELLS`.
        steps, streams, units: T, N and H.
        limit: the largest gradient of a sum.
    """

    cell: str
    steps: int
    streams: int
    units: int
    limit: float = math.inf

    @property
    def gates(self) -> int:
        """Sums per unit."""
        return CELLS[self.cell].gates

    @property
    def state(self) -> int:
        """Values of a state, N · H."""
        return self.streams * self.units

    @property
    def panels(self) -> Panels:
        """The panels of a step's product."""
        width = self.gates if self.gates > 1 else self._width
        return Panels(self.units, self.gates, width)

    @property
    def gradient_panels(self) -> Panels:
        """The panels of the product of a step's gradient."""
        return Panels(self.units, 1, self._width)

    @property
    def _width(self) -> int:
        return min(WIDEST, Panels(self.units, 1, 1).count)


@attrs.frozen(kw_only=True)
class CopyArguments(Arguments):
    """Arguments of `copy_states`.

    Attributes:
        source, target: states, N × H.
        markers: N factors.
        streams, units: N and H.
    """

    source: Region
    target: Region
    markers: Region
    streams: int
    units: int


@task_kernel(CopyArguments)
def copy_states(e: Emitter, marked: bool) -> None:
    """target = source, or markers · source."""
    args, b = e.arguments, e.builder
    source, target, markers = (pointer(e, each) for each in (args.source, args.target, args.markers))
    with e.loop(args.streams) as stream:
        row = e.multiply(stream.index, args.units)
        factor = b.load(e.at(markers, stream.index)) if marked else None
        with e.loop(args.units) as unit:
            at = e.add(row, unit.index)
            value = b.load(e.at(source, at))
            b.store(value if factor is None else b.fmul(factor, value), e.at(target, at))


@attrs.frozen(kw_only=True)
class ClearArguments(Arguments):
    """Arguments of `clear_sums`.

    Attributes:
        target: what becomes 0.
        vectors: its length.
    """

    target: Region
    vectors: int


@task_kernel(ClearArguments)
def clear_sums(e: Emitter) -> None:
    """target = 0."""
    target = pointer(e, e.arguments.target)
    with e.loop(e.arguments.vectors) as vector:
        e.store(e.constant(0), target, e.multiply(vector.index, LANES))


class Unrolled:
    """A program of all steps being put together.

    Args:
        sizes: of the layer.
        memory: by the names of `StepArguments`; each from its first step on.
    """

    def __init__(self, sizes: Sequences, memory: Mapping[str, Bytes]) -> None:
        self.sizes, self.cells = sizes, Cells()
        self._at = {name: self.cells.of(each) for name, each in memory.items()}

    def region(self, name: str, step: int = 0, width: int = 1) -> Region:
        """A memory from one step on, with ``width`` values per unit; any region where there is no such memory."""
        if name not in self._at:
            return Region(next(iter(self._at.values())))
        per_step = self.sizes.streams if name == "markers" else self.sizes.state * width
        return Region(self._at[name], step * per_step)

    def regions(self, step: int) -> dict[str, Region]:
        """What a step reads and writes, as far as both directions have it in common."""
        sizes, following = self.sizes, min(step + 1, self.sizes.steps - 1)
        own = {"sums": self.region("sums", step, sizes.gates), "cells": self.region("cells", step)}
        markers = {"markers": self.region("markers", step), "following_markers": self.region("markers", following)}
        return {name: self.region(name) for name in REGIONS} | own | markers | {"hidden": self.region("hidden", step)}

    def copy(self, source: Region, target: Region, markers: Region | None = None) -> Task:
        """A task that copies states, times markers."""
        sizes, factors = self.sizes, markers or source
        numbers = {"streams": sizes.streams, "units": sizes.units}
        call = copy_states(markers is not None).call
        return [call(CopyArguments(source=source, target=target, markers=factors, **numbers))]

    def step(
        self, regions: Mapping[str, Region], panels: Panels, terms: int, kernel: Callable[[int], Callable[..., object]]
    ) -> Iterator[Task]:
        """The tasks of one step: one per panel."""
        sizes, groups = self.sizes, list(row_groups(self.sizes.streams, most_rows(panels.width)))
        numbers = {"units": sizes.units, "terms": terms, "state": sizes.state, "limit": sizes.limit}
        for index in range(panels.count):
            weights = attrs.evolve(regions["weights"], start=index * panels.size(terms))
            own = {**regions, **numbers, "weights": weights, "start": index * panels.units_per_panel}
            yield [kernel(rows).call(StepArguments(**own, first=first, groups=count)) for rows, first, count in groups]


def pack_program(sizes: Sequences, weights: Bytes, packed: Bytes, *, threads: int, scratch: Scratch) -> Tasks:
    """A program that packs the weights of the steps' products."""
    cells = Cells()
    tasks = packing(weights, packed, sizes.panels, sizes.units, cells, transposed=True)
    return _tasks(cells, [tasks], threads, scratch)


def forward_program(
    sizes: Sequences,
    memory: Mapping[str, Bytes],
    states: Sequence[tuple[Bytes, Bytes]],
    *,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """All steps forward.

    Args:
        sizes: of the layer.
        memory: packed ``weights``; of all steps, ``markers`` and the ``sums`` of the inputs, which become the gates;
            ``hidden`` of all steps, ``cells`` and ``left`` (what is multiplied) of one step more, which are written.
        states: the first and the last hidden state; with cells, those of the cell, too.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    unrolled, steps = Unrolled(sizes, memory), sizes.steps
    at, panels = unrolled.region, sizes.panels
    ends = [(Region(unrolled.cells.of(first)), Region(unrolled.cells.of(last))) for first, last in states]
    starts = [at("left"), at("cells")]
    markers = [at("markers"), None]
    results = [at("hidden", steps - 1), at("cells", steps)]
    phases = [[unrolled.copy(first, *each) for (first, _), *each in zip(ends, starts, markers, strict=False)]]
    for t in range(steps):
        regions = unrolled.regions(t) | {"left": at("left", t), "following": at("left", t + 1)}
        kernel = partial(step, sizes.cell, width=panels.width)
        phases.append(list(unrolled.step(regions, panels, sizes.units, kernel)))
    phases.append([unrolled.copy(result, last) for result, (_, last) in zip(results, ends, strict=False)])
    return _tasks(unrolled.cells, phases, threads, scratch)


def backward_program(
    sizes: Sequences, weights: Bytes, memory: Mapping[str, Bytes], *, threads: int, scratch: Scratch
) -> Tasks:
    """All steps backward, from the last to the first.

    Args:
        sizes: of the layer.
        weights: of the recurrence, as they are learned.
        memory: as forward left it; ``diff``, the gradient of all hidden states; ``sum_diff`` and ``bias_diff``, which
            are written, the latter with a length that is a multiple of 16; ``weights`` and ``cell_diff`` for what lasts
            for this call.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    unrolled, panels, terms = Unrolled(sizes, memory), sizes.gradient_panels, sizes.gates * sizes.units
    at = unrolled.region
    clear = clear_sums().call(ClearArguments(target=at("bias_diff"), vectors=-(-terms // LANES)))
    phases = [[[clear], *packing(weights, memory["weights"], panels, terms, unrolled.cells, transposed=False)]]
    for t in reversed(range(sizes.steps)):
        last = t == sizes.steps - 1
        left = at("sum_diff", t if last else t + 1, sizes.gates)
        own = {"left": left, "diff": at("diff", t), "cell_diff": at("cell_diff")}
        regions = unrolled.regions(t) | own | {"sum_diff": at("sum_diff", t, sizes.gates)}
        kernel = partial(step_gradient, sizes.cell, width=panels.width, last=last)
        phases.append(list(unrolled.step(regions, panels, terms, kernel)))
    return _tasks(unrolled.cells, phases, threads, scratch)


def _tasks(cells: Cells, phases: Sequence[Sequence[Task]], threads: int, scratch: Scratch) -> Tasks:
    return Tasks(threads, cells, scratch("recurrent.threads", threads), phases)
