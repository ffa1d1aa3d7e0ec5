"""Kernels of the filter transform.

Weights are O/16 × taps × I × 16; in the transform domain they are panels of C × width × 16 for each component,
which `gemm.multiply` reads. Padding channels of the last block are zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import attrs

from cafx_lib_llvm import FLOAT, INT, Arguments, Emitter, Value

from .algebra import flat, square, transform
from .finite import Finite
from .matrices import Scheme, transpose
from .program import Region, pointer, task_kernel
from .tiling import BLOCK


@attrs.frozen(kw_only=True)
class FilterArguments(Arguments):
    """The weights of one group, and their panels in the transform domain.

    Attributes:
        weights: the group's first weight.
        inputs: channels.
        block_stride, tap_stride: distance in floats between blocks of outputs, and between taps.
        transformed: the first component.
        stride: distance in floats between components.
        rows: number of rows of a panel.
        panel: the first block of columns.
        panels, width: number of panels, and blocks per panel.
        first, count: first row, or block of rows, to transform, and their number.
        not_finite: address of what is set to 1 if a gradient is not finite.
    """

    weights: Region
    inputs: int
    block_stride: int
    tap_stride: int
    transformed: Region
    stride: int
    rows: int
    panel: int
    panels: int
    width: int
    first: int
    count: int
    not_finite: int


@attrs.frozen(kw_only=True)
class PadArguments(Arguments):
    """Arguments of `pad`.

    Attributes:
        source, target: addresses to copy from and to.
        values: number of values to copy.
        count: number of values to write.
    """

    source: Region
    target: Region
    values: int
    count: int


@task_kernel(FilterArguments)
def filter_transform(e: Emitter, scheme: Scheme) -> None:
    """G g Gᵀ. Rows of the panels are inputs, columns are outputs."""
    filters = _Filters(e, scheme)
    with filters.each() as (row, block, panel):
        filters.transform(filters.load(row, *filters.taps(block)), panel, row)


@task_kernel(FilterArguments)
def rotated_filter_transform(e: Emitter, scheme: Scheme) -> None:
    """G g Gᵀ of the filters rotated by 180°. Rows of the panels are outputs, columns are inputs."""
    filters = _Filters(e, scheme)
    args, count = e.arguments, filters.count
    rotated = e.allocate(count * BLOCK)
    with filters.each() as (outputs, block, panel):
        first = e.multiply(block, BLOCK)
        with e.loop(count) as tap:
            opposite = e.multiply(e.builder.sub(INT(count - 1), tap.index), BLOCK)
            start = e.at(
                filters.weights, e.multiply(outputs, args.block_stride), e.multiply(tap.index, args.tap_stride)
            )
            rows = [filters.load(e.add(first, i), start)[0] for i in range(BLOCK)]
            for i, each in enumerate(e.transpose(rows)):
                e.store(each, rotated, opposite, i * count * BLOCK)
        with e.loop(BLOCK) as output:
            start = e.multiply(output.index, count * BLOCK)
            taps = [e.load(rotated, start, k * BLOCK) for k in range(count)]
            filters.transform(taps, panel, e.add(e.multiply(outputs, BLOCK), output.index))


@task_kernel(FilterArguments)
def filter_gradient(e: Emitter, scheme: Scheme) -> None:
    """Gᵀ M G: the gradient of the weights, from the gradient M of the transformed filters."""
    filters = _Filters(e, scheme)
    args, matrix, finite = e.arguments, transpose(scheme.filter_transform), Finite(e)
    with filters.each() as (row, block, panel):
        start = e.at(panel, e.multiply(row, filters.width))
        values = [e.load(start, e.multiply(args.stride, k)) for k in range(scheme.components)]
        taps = transform(e, matrix, square(values, scheme.points))
        finite.check_corners(taps)
        for first, each in zip(filters.taps(block), flat(taps), strict=True):
            e.store(each, first, e.multiply(row, BLOCK))
    finite.report(args.not_finite)


@task_kernel(PadArguments)
def pad(e: Emitter) -> None:
    """Copy floats and append zeros."""
    b, args = e.builder, e.arguments
    source, target = pointer(e, args.source), pointer(e, args.target)
    with e.loop(args.count) as loop:
        inside = b.icmp_signed("<", loop.index, args.values)
        value = b.load(e.at(source, b.select(inside, loop.index, INT(0))))
        b.store(b.select(inside, value, FLOAT(0.0)), e.at(target, loop.index))


class _Filters:
    """Code shared by the kernels."""

    def __init__(self, e: Emitter, scheme: Scheme) -> None:
        self.e, self.scheme, self.count = e, scheme, scheme.taps**2
        self.weights, self.transformed = pointer(e, e.arguments.weights), pointer(e, e.arguments.transformed)
        self.width = e.multiply(e.arguments.width, BLOCK)
        self.zero = e.constant(0)

    @contextlib.contextmanager
    def each(self) -> Iterator[tuple[Value, Value, Value]]:
        """A loop over rows and blocks of columns: row, block, and a pointer to the block's panel."""
        e, args = self.e, self.e.arguments
        with e.loop(args.count) as row, e.loop(args.panels) as panel, e.loop(args.width) as lane:
            first = e.add(args.panel, e.multiply(panel.index, args.width))
            start = e.at(self.transformed, e.multiply(first, args.rows, BLOCK), e.multiply(lane.index, BLOCK))
            yield e.add(args.first, row.index), e.add(first, lane.index), start

    def taps(self, block: Value) -> list[Value]:
        """Pointers to the taps from the first input to a block of outputs."""
        e, args = self.e, self.e.arguments
        start = e.at(self.weights, e.multiply(block, args.block_stride))
        return [e.at(start, e.multiply(args.tap_stride, k)) for k in range(self.count)]

    def load(self, row: Value, *first: Value) -> list[Value]:
        """Vectors of an input; zeros for a padding input of the last block.

        Args:
            row: index of the input.
            first: pointers to the first input's vectors.
        """
        e, b, inputs = self.e, self.e.builder, self.e.arguments.inputs
        inside = b.icmp_signed("<", row, inputs)
        offset = e.multiply(b.select(inside, row, b.sub(inputs, INT(1))), BLOCK)
        return [b.select(inside, e.load(each, offset), self.zero) for each in first]

    def transform(self, taps: Sequence[Value], panel: Value, row: Value) -> None:
        """Transform taps to a row of a panel."""
        e = self.e
        out = e.at(panel, e.multiply(row, self.width))
        values = transform(e, self.scheme.filter_transform, square(taps, self.scheme.taps))
        for k, each in enumerate(flat(values)):
            e.store(each, out, e.multiply(e.arguments.stride, k))
