"""Base class of the builders of all three passes' programs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import attrs
import numpy as np

from cafx_lib_llvm import Kernel, KernelCall

from . import gemm
from .filter_transforms import FilterArguments
from .matrices import Matrix, Scheme
from .program import FLOAT_BYTES, OWN, Bytes, Cells, Region, Scratch, Task, Tasks
from .tiling import BLOCK, COMPONENT_PAD, Range, Shape, TileGrid, TransformLayout, channel_blocks, split
from .transforms import InputTransformArguments, input_transform

TASKS_PER_THREAD = 4
"""Into how many tasks work is divided that all threads share."""
SHARED_BYTES = 8 << 20
"""Memory of the tiles in the transform domain that all threads share."""
PANELS_PER_THREAD = 2
"""How many panels there must be, at least, if one thread transforms and uses the filters of a panel."""
LEAST_FILTERS = 8 << 20
"""Memory of filters in the transform domain that do not stay in the caches while they are used."""
Panel = tuple[int, int, int]
"""A group, the first block of columns of a panel, and number of blocks."""


@attrs.frozen
class Filters:
    """The weights of a convolution: O/16 × taps × I × 16 per group.

    Attributes:
        group: number of groups.
        inputs, outputs: channels per group.
        taps: filter size along each axis.
    """

    group: int
    inputs: int
    outputs: int
    taps: int

    @property
    def padded_inputs(self) -> int:
        """Number of inputs, rounded up to whole blocks."""
        return channel_blocks(self.inputs) * BLOCK

    @property
    def padded_outputs(self) -> int:
        """Number of outputs, rounded up to whole blocks."""
        return channel_blocks(self.outputs) * BLOCK

    @property
    def padded_channels(self) -> int:
        """Number of inputs and of outputs of all groups, rounded up to whole blocks."""
        return self.group * (self.padded_inputs + self.padded_outputs)

    @property
    def products(self) -> int:
        """Number of products per component of a tile."""
        return self.group * self.padded_inputs * self.padded_outputs

    @property
    def stride(self) -> int:
        """Floats from component to component in the transform domain."""
        return self.padded_inputs * self.padded_outputs + COMPONENT_PAD

    def count(self, components: int) -> int:
        """Floats of all components of all groups in the transform domain."""
        return self.group * components * self.stride

    def start(self, group: int, component: int, components: int) -> int:
        """Offset of a component of a group in the transform domain."""
        return (group * components + component) * self.stride


@attrs.frozen
class Resources:
    """What programs need from the engine.

    Attributes:
        threads: number of threads.
        bfloat16: whether activations are bfloat16.
        scratch: provider of scratch buffers.
    """

    threads: int
    bfloat16: bool
    scratch: Scratch


@attrs.frozen
class Image:
    """Activations in memory.

    Attributes:
        shape: N × C × H × W.
        cell: the cell with the address of their memory.
        pad: rows and columns of the first tile outside the image.
    """

    shape: Shape
    cell: int
    pad: tuple[int, int] = (0, 0)


@attrs.frozen
class Transformed:
    """Activations in the transform domain.

    Attributes:
        cell: the cell with the address of their memory.
        layout: layout of the tiles.
    """

    cell: int
    layout: TransformLayout

    def region(self, component: int = 0, block: int = 0, tile: int = 0) -> Region:
        """The memory that starts at a tile of a component."""
        return Region(self.cell, self.layout.at(component, block, tile))


class ProgramBuilder:
    """Base class of the passes.

    Args:
        resources: what the engine provides.
        scheme: F(m, r).
        filters: dimensions of the weights.
        kept: memory for the transformed filters that lasts; None for memory that others overwrite.
    """

    def __init__(self, resources: Resources, scheme: Scheme, filters: Filters, kept: Bytes | None = None) -> None:
        self.resources, self.scheme, self.filters = resources, scheme, filters
        self.cells = Cells()
        self.not_finite = np.zeros(1, np.int64)
        self.tasks = TASKS_PER_THREAD * resources.threads
        self.kept_filters = kept

    @functools.cached_property
    def transformed_filters(self) -> int:
        """The cell of all transformed filters."""
        if self.kept_filters is not None:
            return self.cells.of(self.kept_filters)
        return self.scratch("filters", self.filters.count(self.scheme.components))

    def image(self, shape: Shape, memory: Bytes, pad: tuple[int, int] = (0, 0)) -> Image:
        """Activations in memory."""
        return Image(shape, self.cells.of(memory), pad)

    def scratch(self, name: str, count: int) -> int:
        """The cell of a scratch buffer of float32 values."""
        return self.cells.of(self.resources.scratch(f"winograd.{name}", count))

    def program(self, scratch: int, phases: Sequence[Sequence[Task]]) -> Tasks:
        """The program, given its phases and the number of floats of scratch memory per thread."""
        threads = self.resources.threads
        memory = self.resources.scratch("winograd.threads", threads * scratch)
        return Tasks(threads, self.cells, memory, phases, not_finite=self.not_finite)

    def layout(self, shape: Shape, capacity: int, start: int = 0) -> TransformLayout:
        """The layout of tiles of activations in the transform domain."""
        return TransformLayout(self.scheme.components, channel_blocks(shape[1]), capacity, start)

    def transformed(self, name: str, shape: Shape, capacity: int) -> Transformed:
        """Tiles of activations in a scratch buffer."""
        layout = self.layout(shape, capacity)
        return Transformed(self.scratch(name, layout.end), layout)

    def tiles_within(self, budget: int) -> int:
        """Number of tiles whose inputs and outputs fit into a number of bytes in the transform domain."""
        return budget // (FLOAT_BYTES * self.scheme.components * self.filters.padded_channels)

    def shared_chunks(self, grid: TileGrid) -> list[Range]:
        """Chunks of tiles that all threads work on together."""
        return grid.chunks(self.tiles_within(SHARED_BYTES))

    def panels(self, columns: int) -> list[tuple[int, gemm.Panels]]:
        """The panels of every group."""
        panels = gemm.panels(columns // BLOCK)
        return [(group, each) for group in range(self.filters.group) for each in panels]

    def own_panels(self, columns: int) -> list[Panel]:
        """Panels whose filters one thread transforms and uses, in its own memory.

        So the filters do not go from one thread's caches to another's, or to memory. There are none where transformed
        filters last, or are small, or where there are too few panels for all threads.
        """
        several = self.panels(columns)
        panels = [(group, first + i * width, width) for group, (first, width, count) in several for i in range(count)]
        large = self.filters.count(self.scheme.components) * FLOAT_BYTES > LEAST_FILTERS
        few = len(panels) < PANELS_PER_THREAD * self.resources.threads
        return panels if large and not few and self.kept_filters is None else []

    def own_stride(self, rows: int) -> int:
        """Floats from component to component of such a panel."""
        return rows * gemm.WIDEST * BLOCK + COMPONENT_PAD

    def transform_panel(
        self, kernel: Callable[[Scheme], Kernel], weights: int, panel: Panel, rows: int, count: int
    ) -> KernelCall:
        """Transform the filters of such a panel.

        Args:
            kernel: the transform.
            weights: the cell with the address of the weights.
            panel: which.
            rows: of the panel.
            count: number of rows, or of blocks of rows.
        """
        group, first, width = panel
        place = Region(OWN, -first * rows * BLOCK), self.own_stride(rows)
        return self._filter_call(kernel(self.scheme), weights, group, place, (first, width, 1), rows, (0, count))

    def transform_filters(
        self, kernel: Callable[[Scheme], Kernel], weights: int, size: tuple[int, int], count: int
    ) -> list[Task]:
        """Tasks of a filter transform.

        Args:
            kernel: the transform.
            weights: the cell with the address of the weights.
            size: number of rows and columns of the matrices in the transform domain.
            count: number of rows, or blocks of rows, to divide among tasks.
        """
        (rows, columns), filters, components, compiled = size, self.filters, self.scheme.components, kernel(self.scheme)
        return [
            [self._filter_call(compiled, weights, group, place, panels, rows, part)]
            for group, panels in self.panels(columns)
            for place in [(Region(self.transformed_filters, filters.start(group, 0, components)), filters.stride)]
            for part in split(count, self.tasks)
        ]

    def _filter_call(
        self,
        kernel: Kernel,
        weights: int,
        group: int,
        place: tuple[Region, int],
        panels: gemm.Panels,
        rows: int,
        part: Range,
    ) -> KernelCall:
        """Transform some rows of panels of a group to a place, given with the floats from component to component."""
        filters, (transformed, stride), (panel, width, count) = self.filters, place, panels
        tap_stride = filters.inputs * BLOCK
        block_stride = tap_stride * filters.taps**2
        return kernel.call(
            FilterArguments(
                weights=Region(weights, group * channel_blocks(filters.outputs) * block_stride),
                inputs=filters.inputs,
                block_stride=block_stride,
                tap_stride=tap_stride,
                transformed=transformed,
                stride=stride,
                rows=rows,
                panel=panel,
                panels=count,
                width=width,
                first=part[0],
                count=part[1],
                not_finite=int(self.not_finite.ctypes.data),
            )
        )

    def input_kernel(self, matrix: Matrix) -> Kernel:
        """The kernel that transforms tiles of activations with a matrix."""
        return input_transform(matrix, self.scheme.outputs, bfloat16=self.resources.bfloat16)

    def transform_input(
        self, kernel: Kernel, image: Image, grid: TileGrid, tiles: Range, to: Transformed, at: int = 0
    ) -> KernelCall:
        """Transform tiles of activations.

        Args:
            kernel: the result of `input_kernel`.
            image: the activations.
            grid: their tiles.
            tiles: first tile to transform, and number of tiles.
            to: where to write them.
            at: index of the first tile written.
        """
        return kernel.call(
            InputTransformArguments(
                source=Region(image.cell),
                target=to.region(tile=at),
                pad_top=image.pad[0],
                pad_left=image.pad[1],
                stride=to.layout.stride,
                capacity=to.layout.capacity,
                tiles=grid.range(*tiles, image.shape),
            )
        )
