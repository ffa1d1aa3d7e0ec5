"""The passes of a convolution by Winograd's tiles as programs of kernels.

A correlation spreads tiles into factors, multiplies each factor's matrix of tiles × channels with the
weights', and gathers the products into results. Where weights are few, a thread does all of it for some
tiles, in its own caches; where they are many, all threads take some tiles together, and each multiplies
some of the factors, so that the weights' are read once. So are gradients of weights added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from ..api.constants import DataType
from ..api.memory import Memory
from ..emitter import BLOCK, Kernel, slope_bits
from ..operands import Operand
from ..winograd.matrices import Scheme, turned
from ..winograd.program import Cells, Task, Tasks
from ..winograd.tiling import AT_ONCE, CACHED, PAD, VALUE, Factors, Grid, Shape, blocks, extent, rounded, shares
from . import gemm, transforms

SCRATCH, WEIGHTS, SPREAD, RESULT, ZEROS, BIAS = range(1 << 16, (1 << 16) + 6)
"""Slots of memory that lasts for one call."""
FINE = 4
"""Parts of small work a thread."""
Bytes = Operand | Memory
Step = tuple[Kernel, Any]


@attrs.frozen
class Kernels:
    """The weights of a convolution: of each group O/16 × taps × I × 16.

    Attributes:
        group: how many groups there are.
        inputs, outputs: channels of one.
        taps: along each axis.
    """

    group: int
    inputs: int
    outputs: int
    taps: int

    @property
    def rows(self) -> int:
        """Inputs with what fills up their blocks."""
        return blocks(self.inputs) * BLOCK

    @property
    def columns(self) -> int:
        """Outputs with what fills up their blocks."""
        return blocks(self.outputs) * BLOCK

    @property
    def products(self) -> int:
        """Products of a factor of a tile."""
        return self.group * self.rows * self.columns

    @property
    def factor(self) -> int:
        """Values from factor to factor."""
        return self.rows * self.columns + PAD


@attrs.frozen
class Image:
    """Activations: their shape, the cell of their memory, and how far outside the first tile begins.

    Attributes:
        half: whether they are bfloat16.
    """

    shape: Shape
    cell: int
    pad: tuple[int, int]
    half: bool


@attrs.frozen
class Tiled:
    """Factors of activations: the cell of their memory (0: a thread's own) and how they lie there."""

    cell: int
    factors: Factors


class Passes:
    """What all passes have in common.

    Args:
        engine: whose threads and memory are used.
        scheme: the algebra.
        kernels: the weights' dimensions.
    """

    def __init__(self, engine: Any, scheme: Scheme, kernels: Kernels) -> None:
        self.engine, self.scheme, self.kernels = engine, scheme, kernels
        self.cells, self.count = Cells(), scheme.factors**2
        self.fine = FINE * engine.engine.threads
        self.held = self._shared(WEIGHTS, kernels.group * self.count * kernels.factor)

    def image(self, shape: Shape, held: Bytes, pad: tuple[int, int] = (0, 0)) -> Image:
        """Activations in memory."""
        return Image(shape, self.cell(held), pad, self.engine.engine.type == DataType.BF16)

    def cell(self, held: Bytes) -> int:
        """The cell of some memory."""
        return self.cells.of(held)

    def _memory(self, slot: int, count: int) -> Memory:
        return self.engine.scratch.floats(f"winograd {slot}", count)

    def _shared(self, slot: int, count: int) -> int:
        return self.cell(self._memory(slot, count))

    def _factors(self, shape: Shape, lane: int, begin: int = 0) -> Factors:
        return Factors(self.count, blocks(shape[1]), lane, begin)

    def _panels(self, columns: int) -> list[tuple[int, int, int, int]]:
        """Group, first block, blocks of a panel, panels."""
        every = gemm.panels(columns // BLOCK)
        return [(group, *panel) for group in range(self.kernels.group) for panel in every]

    def _weights(self, make: Any, weights: int, columns: int, rows: int, count: int) -> list[Task]:
        """Weights to factors in panels of so many columns and rows or back, some of ``count`` a task."""
        k, tap = self.kernels, self.kernels.inputs * BLOCK
        block = tap * k.taps**2
        tasks: list[Task] = []
        for group, panel, width, panels in self._panels(columns):
            where = {
                "weights": weights, "start": group * blocks(k.outputs) * block, "inputs": k.inputs, "block": block,
                "tap": tap, "factors": self.held, "offset": group * self.count * k.factor, "factor": k.factor,
                "rows": rows, "panel": panel, "panels": panels, "width": width,
            }  # fmt: skip
            tasks += [[_step(make(self.scheme), **where, first=f, count=n)] for f, n in shares(count, self.fine)]
        return tasks

    def _spread(self, matrix: Any, image: Image, grid: Grid, tiles: tuple[int, int], to: Tiled, at: int = 0) -> Step:
        factors, (down, right) = to.factors, image.pad
        return _step(
            transforms.spread(matrix, self.scheme.results, half=image.half), source=image.cell, down=down,
            right=right, target=to.cell, offset=factors.begin + at * BLOCK, factor=factors.step, lane=factors.lane,
            **_tiles(grid, tiles), **extent(image.shape),
        )  # fmt: skip

    def _tasks(self, scratch: int, phases: Sequence[Sequence[Task]]) -> Tasks:
        threads = self.engine.engine.threads
        return Tasks(threads, self.cells, self._memory(SCRATCH, threads * scratch), phases)


class Correlation(Passes):
    """y = unit(x ⋆ w + b), the taps turned around where ``around`` says so, with inputs and outputs exchanged."""

    def __init__(self, engine: Any, scheme: Scheme, kernels: Kernels, *, around: bool) -> None:
        super().__init__(engine, scheme, kernels)
        self.around = around
        ends = kernels.rows, kernels.columns
        self.inner, self.outer = reversed(ends) if around else ends

    def prepare(self, x: Image, weights: Bytes, bias: Bytes | None, slope: float | None, y: Image) -> Tasks:
        """The program."""
        grid = Grid(y.shape, self.scheme.results)
        make = transforms.weights_around if self.around else transforms.weights_ahead
        count = self.inner // BLOCK if self.around else self.inner
        turning = self._weights(make, self.cell(weights), self.outer, self.inner, count)
        wide = self._shared(BIAS if bias else ZEROS, self.outer * self.kernels.group)
        if bias:
            turning.append([_step(transforms.filled(), source=self.cell(bias), target=wide, held=y.shape[1],
                                  count=self.outer * self.kernels.group)])  # fmt: skip
        unit = {"bias": wide, "slope": slope_bits(slope)}
        channels = (self.inner + self.outer) * self.kernels.group
        bytes_a_tile = self.count * VALUE * channels
        apart = grid.parts(CACHED // bytes_a_tile, self.engine.engine.threads)
        together = grid.parts(AT_ONCE // bytes_a_tile)
        many = len(apart) * self.kernels.products > 2 * grid.tiles * channels
        if many:
            phases, scratch = self._together(x, y, grid, together, unit), 1
        else:
            phases, scratch = self._apart(x, y, grid, apart, unit)
        return self._tasks(scratch, [turning, *phases])

    def _apart(
        self, x: Image, y: Image, grid: Grid, parts: Sequence[tuple[int, int]], unit: dict[str, int]
    ) -> tuple[list[list[Task]], int]:
        """Each thread some tiles, from start to end; and the scratch memory it takes."""
        lane = rounded(parts[0][1])
        spread = self._factors(x.shape, lane)
        made = self._factors(y.shape, lane, spread.end)
        tasks: list[Task] = []
        for tiles in parts:
            task = [self._spread(self.scheme.spread, x, grid, tiles, Tiled(0, spread))]
            task += self._multiply(Tiled(0, spread), Tiled(0, made), (0, self.count), (0, tiles[1]))
            tasks.append([*task, self._gather(Tiled(0, made), y, grid, tiles, unit)])
        return [tasks], made.end

    def _together(
        self, x: Image, y: Image, grid: Grid, parts: Sequence[tuple[int, int]], unit: dict[str, int]
    ) -> list[list[Task]]:
        """All threads some tiles, each some of their factors."""
        lane = rounded(parts[0][1])
        shapes = (SPREAD, x.shape), (RESULT, y.shape)
        spread, made = (
            Tiled(self._shared(slot, f.end), f) for slot, f in ((s, self._factors(n, lane)) for s, n in shapes)
        )
        phases: list[list[Task]] = []
        for first, some in parts:
            fine = [(first + at, tiles, at) for at, tiles in shares(some, self.fine)]
            phases.append([[self._spread(self.scheme.spread, x, grid, (f, n), spread, at)] for f, n, at in fine])
            ranges = list(shares(rounded(some) // gemm.ROWS, -(-self.fine // self.count)))
            phases.append([
                self._multiply(spread, made, (factor, 1), (at * gemm.ROWS, n * gemm.ROWS))
                for factor in range(self.count) for at, n in ranges
            ])  # fmt: skip
            phases.append([[self._gather(made, y, grid, (f, n), unit, at)] for f, n, at in fine])
        return phases

    def _multiply(self, left: Tiled, result: Tiled, factors: tuple[int, int], tiles: tuple[int, int]) -> list[Step]:
        """The products of some factors of some tiles."""
        (factor, count), (at, some), weights = factors, tiles, self.kernels.factor
        inner, outer, a, c = self.inner // BLOCK, self.outer // BLOCK, left.factors, result.factors
        return [
            _step(
                gemm.ahead(width), left=left.cell, left_at=a.at(factor, group * inner, at), left_step=a.step,
                right=self.held, right_at=(group * self.count + factor) * weights + panel * self.inner * BLOCK,
                right_step=weights, result=result.cell, result_at=c.at(factor, group * outer + panel, at),
                result_step=c.step, lane=a.lane, factors=count, inner=inner, outer=rounded(some), panels=panels,
            )
            for group, panel, width, panels in self._panels(self.outer)
        ]  # fmt: skip

    def _gather(
        self, made: Tiled, y: Image, grid: Grid, tiles: tuple[int, int], unit: dict[str, int], at: int = 0
    ) -> Step:
        f = made.factors
        return _step(
            transforms.gather(self.scheme.gather, half=y.half), source=made.cell, offset=f.begin + at * BLOCK,
            factor=f.step, lane=f.lane, target=y.cell, **unit, **_tiles(grid, tiles), **extent(y.shape),
        )  # fmt: skip


class WeightsGradient(Passes):
    """∇w = x ⋆ ∇y and ∇b = Σ ∇y, of those that are wanted."""

    def prepare(self, x: Image, dy: Image, weights: Bytes | None, bias: Bytes | None) -> Tasks:
        """The program; what it writes is overwritten."""
        grid = Grid(dy.shape, self.scheme.results)
        k = self.kernels
        parts = grid.parts(AT_ONCE // (self.count * VALUE * k.group * (k.rows + k.columns)))
        lane = rounded(parts[0][1])
        left, right = self._factors(x.shape, lane), self._factors(dy.shape, lane)
        spread, result = Tiled(self._shared(SPREAD, left.end), left), Tiled(self._shared(RESULT, right.end), right)
        total = self._shared(BIAS, k.group * k.columns)
        around = turned(self.scheme.gather)
        phases: list[list[Task]] = []
        for index, (first, some) in enumerate(parts):
            spreading: list[Task] = []
            for at, n in shares(some, self.fine):
                task = [self._spread(around, dy, grid, (first + at, n), result, at)]
                if weights:
                    task.append(self._spread(self.scheme.spread, x, grid, (first + at, n), spread, at))
                spreading.append(task)
            adding: list[Task] = [
                self._add(spread, result, f, some, index) for f in range(self.count if weights else 0)
            ]
            phases += [spreading, [*adding, [self._sum(result, some, total, index)]] if bias else adding]
        last: list[Task] = []
        if weights:
            last += self._weights(transforms.weights_back, self.cell(weights), k.columns, k.rows, k.inputs)
        if bias:
            only = {"held": dy.shape[1], "count": dy.shape[1]}
            last.append([_step(transforms.filled(), source=total, target=self.cell(bias), **only)])
        phases.append(last)
        return self._tasks(1, phases)

    def _add(self, spread: Tiled, result: Tiled, factor: int, tiles: int, index: int) -> list[Step]:
        """The products of one factor, added to those of the parts before."""
        k, a, b = self.kernels, spread.factors, result.factors
        inner, outer = k.rows // BLOCK, k.columns // BLOCK
        return [
            _step(
                gemm.back(width), left=spread.cell, left_at=a.at(factor, group * inner), left_step=0,
                right=result.cell, right_at=b.at(factor, group * outer + panel), right_step=0, result=self.held,
                result_at=(group * self.count + factor) * k.factor + panel * k.rows * BLOCK, result_step=0,
                lane=a.lane, factors=1, inner=tiles, outer=inner, panels=panels, add=index,
            )
            for group, panel, width, panels in self._panels(k.columns)
        ]  # fmt: skip

    def _sum(self, result: Tiled, tiles: int, total: int, index: int) -> Step:
        """The sum of results, which is a factor of its own."""
        f, ones = result.factors, (self.scheme.factors + 1) * self.scheme.ones
        return _step(
            gemm.sums(), left=result.cell, left_at=f.at(ones), result=total, result_at=0, lane=f.lane,
            inner=tiles, outer=f.blocks, add=index,
        )  # fmt: skip


def _tiles(grid: Grid, tiles: tuple[int, int]) -> dict[str, int]:
    return {"first": tiles[0], "count": tiles[1], "rows": grid.rows, "columns": grid.columns}


def _step(kernel: Kernel, **arguments: int) -> Step:
    return kernel, kernel.arguments(**arguments)
