"""Programs of the parameter gradients.

Inputs and output gradients are transformed chunk by chunk. Threads multiply them, each its own components, and
accumulate the products, which are transformed to the gradient of the weights at the end. If there are many weights and
all tiles are one chunk, each thread computes products and gradient of its own panels of the filters.
"""

from __future__ import annotations

from collections.abc import Sequence

from cafx_lib_llvm import KernelCall

from . import gemm
from .builder import Image, Panel, ProgramBuilder, Transformed
from .filter_transforms import PadArguments, filter_gradient, pad
from .matrices import transpose
from .program import OWN, Bytes, Region, Task, Tasks
from .tiling import BLOCK, TileGrid, round_up, split


class WeightsGradient(ProgramBuilder):
    """∂w = x ⋆ ∂y and ∂b = Σ ∂y."""

    def prepare(self, x: Image, dy: Image, weights: Bytes | None, bias: Bytes | None) -> Tasks:
        """The program.

        Args:
            x: the input.
            dy: the output gradient.
            weights, bias: the gradients to overwrite; None if not needed.
        """
        filters, grid = self.filters, TileGrid(dy.shape, self.scheme.outputs)
        chunks = self.shared_chunks(grid)
        capacity = round_up(chunks[0][1])
        inputs = self.transformed("inputs", x.shape, capacity)
        gradients = self.transformed("products", dy.shape, capacity)
        sums = self.scratch("bias", filters.group * filters.padded_outputs)
        transform = self.input_kernel(self.scheme.input_transform)
        adjoint = self.input_kernel(transpose(self.scheme.output_transform))
        panels = self.own_panels(filters.padded_outputs) if weights and len(chunks) == 1 else []
        phases: list[list[Task]] = []
        for index, (first, count) in enumerate(chunks):
            transforms: list[Task] = []
            for at, some in split(count, self.tasks):
                tiles = first + at, some
                task = [self.transform_input(adjoint, dy, grid, tiles, gradients, at)]
                if weights:
                    task.append(self.transform_input(transform, x, grid, tiles, inputs, at))
                transforms.append(task)
            products: list[Task] = self._own(inputs, gradients, weights, count, panels) if panels else []
            if weights and not panels:
                components = range(self.scheme.components)
                products += [self._multiply(inputs, gradients, each, count, index > 0) for each in components]
            if bias:
                products.append([self._sum(gradients, count, sums, index > 0)])
            phases += [transforms, products]
        if finish := self._finish(None if panels else weights, bias, sums, dy.shape[1]):
            phases.append(finish)
        own = self.own_stride(filters.padded_inputs) * self.scheme.components if panels else 1
        return self.program(own, phases)

    def _own(
        self, inputs: Transformed, gradients: Transformed, weights: Bytes, tiles: int, panels: Sequence[Panel]
    ) -> list[Task]:
        """Products and gradient of one panel after the other, each in the memory of the thread that computes it."""
        rows, cell, tasks = self.filters.padded_inputs, self.cells.of(weights), list[Task]()
        for panel in panels:
            task = [
                self._product(inputs, gradients, each, tiles, panel, Region(OWN, each * self.own_stride(rows)))
                for each in range(self.scheme.components)
            ]
            tasks.append([*task, self.transform_panel(filter_gradient, cell, panel, rows, self.filters.inputs)])
        return tasks

    def _finish(self, weights: Bytes | None, bias: Bytes | None, sums: int, outputs: int) -> list[Task]:
        """Transform the gradient of the weights, and copy that of the bias."""
        filters = self.filters
        tasks: list[Task] = []
        if weights:
            size = filters.padded_inputs, filters.padded_outputs
            tasks += self.transform_filters(filter_gradient, self.cells.of(weights), size, filters.inputs)
        if bias:
            target = Region(self.cells.of(bias))
            tasks.append([pad().call(PadArguments(source=Region(sums), target=target, values=outputs, count=outputs))])
        return tasks

    def _multiply(
        self, inputs: Transformed, gradients: Transformed, component: int, tiles: int, accumulate: bool
    ) -> list[KernelCall]:
        """Add the products of one component to those of earlier chunks."""
        filters = self.filters
        return [
            self._product(inputs, gradients, component, tiles, (group, panel, width), target, panels, accumulate)
            for group, (panel, width, panels) in self.panels(filters.padded_outputs)
            for start in [filters.start(group, component, self.scheme.components)]
            for target in [Region(self.transformed_filters, start + panel * filters.padded_inputs * BLOCK)]
        ]

    def _product(
        self,
        inputs: Transformed,
        gradients: Transformed,
        component: int,
        tiles: int,
        panel: Panel,
        target: Region,
        panels: int = 1,
        accumulate: bool = False,
    ) -> KernelCall:
        """The products of one component, for some panels of which the first is given."""
        filters, (group, first, width) = self.filters, panel
        input_blocks, output_blocks = filters.padded_inputs // BLOCK, filters.padded_outputs // BLOCK
        return gemm.multiply_transposed(width).call(
            gemm.TransposedProductArguments(
                left=inputs.region(component, group * input_blocks),
                right=gradients.region(component, group * output_blocks + first),
                result=target,
                capacity=inputs.layout.capacity,
                tiles=tiles,
                blocks=input_blocks,
                panels=panels,
                accumulate=accumulate,
            )
        )

    def _sum(self, gradients: Transformed, tiles: int, sums: int, accumulate: bool) -> KernelCall:
        """Sum the output gradient, which is one of its components."""
        point = self.scheme.unit_point
        return gemm.sum_tiles().call(
            gemm.SumArguments(
                source=gradients.region(point * self.scheme.points + point),
                result=Region(sums),
                capacity=gradients.layout.capacity,
                tiles=tiles,
                blocks=gradients.layout.blocks,
                accumulate=accumulate,
            )
        )
