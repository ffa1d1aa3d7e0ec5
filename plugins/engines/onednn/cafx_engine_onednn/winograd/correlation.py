"""Programs of the forward pass and of the input gradient.

Tiles are transformed, each component's matrix of tiles × channels is multiplied by that of the filters, and the
products are transformed to outputs. With few weights, each thread does all of this for its own tiles, within its
caches. With many weights, all threads work on the same tiles, each on its own components, so that the filters are
read from memory only once per chunk; or, where all tiles fit into the caches and filters are transformed in every pass,
each on its own panels of the filters, which it transforms itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx_lib_llvm import KernelCall

from . import gemm
from .builder import SHARED_BYTES, Filters, Image, Panel, ProgramBuilder, Resources, Transformed
from .filter_transforms import PadArguments, filter_transform, pad, rotated_filter_transform
from .matrices import Scheme
from .program import FLOAT_BYTES, OWN, Bytes, Inference, Region, Task, Tasks
from .tiling import BLOCK, TILE_MULTIPLE, Range, TileGrid, TransformLayout, round_up, split
from .transforms import OutputTransformArguments, output_transform

THREAD_BYTES = 1 << 20
"""Memory of a thread's tiles in the transform domain, which should stay in its caches."""


@attrs.frozen
class Epilogue:
    """Operations fused with the output transform.

    Attributes:
        bias: the cell with the address of the bias, padded to whole blocks of channels.
        slope: negative slope of the ReLU; 1 for no ReLU.
    """

    bias: int
    slope: float


@attrs.frozen
class Kept:
    """Memory that lasts.

    Attributes:
        filters: for the transformed filters.
        bias: for the padded bias, if there is one.
    """

    filters: Bytes
    bias: Bytes | None


class Correlation(ProgramBuilder):
    """y = relu(x ⋆ w + b).

    Args:
        resources, scheme, filters: as for `ProgramBuilder`.
        rotated: whether the filters are rotated by 180° and their inputs and outputs swapped.
        kept: where transformed filters and bias stay until they change; None to transform them in every pass.
    """

    def __init__(
        self, resources: Resources, scheme: Scheme, filters: Filters, *, rotated: bool, kept: Kept | None = None
    ) -> None:
        super().__init__(resources, scheme, filters, kept.filters if kept else None)
        self.rotated, self.kept = rotated, kept
        channels = filters.padded_inputs, filters.padded_outputs
        self.inputs, self.outputs = reversed(channels) if rotated else channels
        self.filter_kernel = rotated_filter_transform if rotated else filter_transform
        self.filter_rows = self.inputs // BLOCK if rotated else self.inputs
        self.to_components = self.input_kernel(scheme.input_transform)
        self.to_outputs = output_transform(scheme.output_transform, bfloat16=resources.bfloat16)

    def prepare(self, x: Image, weights: Bytes, bias: Bytes | None, slope: float | None, y: Image) -> Tasks | Inference:
        """The program.

        Args:
            x, y: bottom and top.
            weights, bias: the parameters.
            slope: negative slope of the ReLU, or None.
        """
        grid, source = TileGrid(y.shape, self.scheme.outputs), self.cells.of(weights)
        padded, padding = self._pad(bias, y.shape[1])
        epilogue = Epilogue(padded, 1.0 if slope is None else slope)
        if panels := self._own_panels(grid):
            return self._by_panel(x, y, grid, epilogue, source, panels, padding)
        size = self.inputs, self.outputs
        transforms = [*self.transform_filters(self.filter_kernel, source, size, self.filter_rows), *padding]
        scratch, phases = self._phases(x, y, grid, epilogue)
        if self.kept is None:
            return self.program(scratch, [transforms, *phases])
        parameters = [weights, bias] if bias else [weights]
        return Inference(parameters, self.program(1, [transforms]), self.program(scratch, phases))

    def _pad(self, bias: Bytes | None, values: int) -> tuple[int, list[Task]]:
        """The cell of the bias, padded to whole blocks, and what pads it; zeros without one."""
        width = self.outputs * self.filters.group
        kept = self.kept.bias if self.kept else None
        padded = self.cells.of(kept) if kept else self.scratch("bias" if bias else "zeros", width)
        if bias is None:
            return padded, []
        source = Region(self.cells.of(bias))
        return padded, [[pad().call(PadArguments(source=source, target=Region(padded), values=values, count=width))]]

    def _chunks(self, grid: TileGrid) -> list[Range]:
        """Chunks of tiles of one thread each."""
        return grid.chunks(self.tiles_within(THREAD_BYTES), self.resources.threads)

    def _is_by_component(self, grid: TileGrid) -> bool:
        """Whether there are so many weights that threads share the tiles rather than the filters."""
        filters = self.filters
        return len(self._chunks(grid)) * filters.products > 2 * grid.tiles * filters.padded_channels

    def _own_panels(self, grid: TileGrid) -> list[Panel]:
        """The panels, if each thread is to work on its own ones, for all tiles."""
        values = self.scheme.components * round_up(grid.tiles) * self.inputs * self.filters.group
        fits = values * FLOAT_BYTES <= SHARED_BYTES and self._is_by_component(grid)
        return self.own_panels(self.outputs) if fits else []

    def _by_panel(
        self,
        x: Image,
        y: Image,
        grid: TileGrid,
        epilogue: Epilogue,
        weights: int,
        panels: Sequence[Panel],
        padding: Sequence[Task],
    ) -> Tasks:
        """Two phases: threads transform all tiles; then each transforms and uses its own panels of the filters."""
        capacity = round_up(grid.tiles)
        inputs = self.transformed("inputs", x.shape, capacity)
        before = [
            [self.transform_input(self.to_components, x, grid, (at, some), inputs, at)]
            for at, some in split(grid.tiles, self.tasks)
        ]
        stride, components = self.own_stride(self.inputs), self.scheme.components
        own = TransformLayout(components, gemm.WIDEST, capacity, components * stride)
        tasks: list[Task] = []
        for panel in panels:
            group, first, width = panel
            block = group * self.outputs // BLOCK + first
            products = Transformed(OWN, own)
            arguments = gemm.ProductArguments(
                left=inputs.region(block=group * self.inputs // BLOCK),
                right=Region(OWN),
                result=products.region(),
                left_stride=inputs.layout.stride,
                right_stride=stride,
                result_stride=own.stride,
                capacity=capacity,
                components=components,
                blocks=self.inputs // BLOCK,
                tiles=capacity,
                panels=1,
            )
            tasks.append(
                [
                    self.transform_panel(self.filter_kernel, weights, panel, self.inputs, self.filter_rows),
                    gemm.multiply(width).call(arguments),
                    self._transform_output(products, y, grid, (0, grid.tiles), epilogue, blocks=(block, width)),
                ]
            )
        return self.program(own.end, [[*padding, *before], tasks])

    def _phases(self, x: Image, y: Image, grid: TileGrid, epilogue: Epilogue) -> tuple[int, list[list[Task]]]:
        """The number of floats of scratch memory per thread, and the phases after the filters' transform."""
        if self._is_by_component(grid):
            return 1, self._by_component(x, y, grid, epilogue)
        tasks, scratch = self._by_tile(x, y, grid, self._chunks(grid), epilogue)
        return scratch, [tasks]

    def _by_tile(
        self, x: Image, y: Image, grid: TileGrid, chunks: Sequence[Range], epilogue: Epilogue
    ) -> tuple[list[Task], int]:
        """One task per chunk of tiles, and the number of floats of scratch memory it needs."""
        capacity = round_up(chunks[0][1])
        inputs = Transformed(OWN, self.layout(x.shape, capacity))
        products = Transformed(OWN, self.layout(y.shape, capacity, inputs.layout.end))
        tasks: list[Task] = [
            [
                self.transform_input(self.to_components, x, grid, tiles, inputs),
                *self._multiply(inputs, products, (0, self.scheme.components), (0, tiles[1])),
                self._transform_output(products, y, grid, tiles, epilogue),
            ]
            for tiles in chunks
        ]
        return tasks, products.layout.end

    def _by_component(self, x: Image, y: Image, grid: TileGrid, epilogue: Epilogue) -> list[list[Task]]:
        """Three phases per chunk of tiles; products are distributed by component."""
        chunks, components = self.shared_chunks(grid), self.scheme.components
        capacity = round_up(chunks[0][1])
        inputs = self.transformed("inputs", x.shape, capacity)
        products = self.transformed("products", y.shape, capacity)
        phases: list[list[Task]] = []
        for first, count in chunks:
            parts = [((first + at, some), at) for at, some in split(count, self.tasks)]
            rows = [
                (at * TILE_MULTIPLE, some * TILE_MULTIPLE)
                for at, some in split(round_up(count) // TILE_MULTIPLE, -(-self.tasks // components))
            ]
            phases += [
                [[self.transform_input(self.to_components, x, grid, tiles, inputs, at)] for tiles, at in parts],
                [self._multiply(inputs, products, (each, 1), tiles) for each in range(components) for tiles in rows],
                [[self._transform_output(products, y, grid, tiles, epilogue, at)] for tiles, at in parts],
            ]
        return phases

    def _multiply(self, left: Transformed, result: Transformed, components: Range, tiles: Range) -> list[KernelCall]:
        """Multiply a range of components of a range of tiles by the filters."""
        (component, count), (first, some), filters = components, tiles, self.filters
        input_blocks, output_blocks = self.inputs // BLOCK, self.outputs // BLOCK
        return [
            gemm.multiply(width).call(
                gemm.ProductArguments(
                    left=left.region(component, group * input_blocks, first),
                    right=Region(
                        self.transformed_filters,
                        filters.start(group, component, self.scheme.components) + panel * self.inputs * BLOCK,
                    ),
                    result=result.region(component, group * output_blocks + panel, first),
                    left_stride=left.layout.stride,
                    right_stride=filters.stride,
                    result_stride=result.layout.stride,
                    capacity=left.layout.capacity,
                    components=count,
                    blocks=input_blocks,
                    tiles=round_up(some),
                    panels=panels,
                )
            )
            for group, (panel, width, panels) in self.panels(self.outputs)
        ]

    def _transform_output(
        self,
        products: Transformed,
        y: Image,
        grid: TileGrid,
        tiles: Range,
        epilogue: Epilogue,
        at: int = 0,
        blocks: Range = (0, 0),
    ) -> KernelCall:
        """Transform tiles of products, of all blocks of channels or of some."""
        block, count = blocks
        return self.to_outputs.call(
            OutputTransformArguments(
                source=products.region(tile=at),
                target=Region(y.cell, block * y.shape[2] * y.shape[3] * BLOCK),
                stride=products.layout.stride,
                capacity=products.layout.capacity,
                bias=Region(epilogue.bias, block * BLOCK),
                slope=epilogue.slope,
                not_finite=int(self.not_finite.ctypes.data),
                tiles=grid.range(*tiles, y.shape, count),
            )
        )
