"""Kernels of the input and output transforms.

Images are N × C/16 × H × W × 16; tiles in the transform domain are matrices of C/16 × tiles × 16, one per
component. Padding channels of the last block are zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import attrs

from cafx_lib_llvm import INT, Arguments, Emitter, Value

from .algebra import flat, square, transform
from .finite import Finite, keep_unless_zero, leaky
from .matrices import Matrix
from .program import Region, pointer, task_kernel
from .tiling import BLOCK, TileRange

Mask = Sequence[Sequence[Value]]
"""Whether each value of a tile is inside the image."""


@attrs.frozen(kw_only=True)
class InputTransformArguments(Arguments):
    """Arguments of `input_transform`.

    Attributes:
        source, target: the images, and the matrix of the first component.
        pad_top, pad_left: rows and columns of the first tile outside the image.
        stride: floats from component to component.
        capacity: number of tiles allocated in the target.
        tiles: which to transform.
    """

    source: Region
    target: Region
    pad_top: int
    pad_left: int
    stride: int
    capacity: int
    tiles: TileRange


@attrs.frozen(kw_only=True)
class OutputTransformArguments(Arguments):
    """Arguments of `output_transform`.

    Attributes:
        source, target: the matrix of the first component, and the images.
        stride: floats from component to component.
        capacity: number of tiles allocated in the source.
        bias: one value per channel.
        slope: negative slope of the ReLU; 1 for no ReLU.
        not_finite: address of what is set to 1 if a result is not finite.
        tiles: which to transform.
    """

    source: Region
    target: Region
    stride: int
    capacity: int
    bias: Region
    slope: float
    not_finite: int
    tiles: TileRange


@task_kernel(InputTransformArguments)
def input_transform(e: Emitter, matrix: Matrix, step: int, bfloat16: bool = False) -> None:
    """Tiles of images to the transform domain; values outside an image are zero.

    Args:
        e: the kernel being written.
        matrix: Bᵀ, or another matrix that transforms both axes of a tile.
        step: distance between tiles, in rows and columns.
        bfloat16: whether the images are bfloat16.
    """
    b, args, side = e.builder, e.arguments, len(matrix[0])
    source, target = pointer(e, args.source, bfloat16=bfloat16), pointer(e, args.target)
    zeros = e.allocate(1, bfloat16=bfloat16, zero=True)
    with _each_tile(e, args.tiles, step, (args.pad_top, args.pad_left)) as tile:

        def transform_blocks(mask: Mask | None) -> None:
            with e.loop(args.tiles.blocks) as block:
                start = tile.at(source, block.index)

                def value(i: int, j: int) -> Value:
                    place = e.at(start, tile.offset(i, j))
                    return e.load(b.select(mask[i][j], place, zeros) if mask else place)

                values = [[value(i, j) for j in range(side)] for i in range(side)]
                out = e.at(target, e.multiply(tile.index, BLOCK), e.multiply(block.index, args.capacity, BLOCK))
                for k, each in enumerate(flat(transform(e, matrix, values))):
                    e.store(each, out, e.multiply(args.stride, k))

        tile.inside_or_masked(side, transform_blocks)


@task_kernel(OutputTransformArguments)
def output_transform(e: Emitter, matrix: Matrix, bfloat16: bool = False) -> None:
    """y = relu(Aᵀ M A + bias); values outside an image are dropped.

    Args:
        e: the kernel being written.
        matrix: Aᵀ.
        bfloat16: whether the images are bfloat16.
    """
    b, args, side, points = e.builder, e.arguments, len(matrix), len(matrix[0])
    source, bias = pointer(e, args.source), pointer(e, args.bias)
    target = pointer(e, args.target, bfloat16=bfloat16)
    slope, dropped, finite = e.splat(args.slope), e.allocate(1, bfloat16=bfloat16), Finite(e)
    kept = keep_unless_zero(e, slope)
    with _each_tile(e, args.tiles, side) as tile:

        def transform_blocks(mask: Mask | None) -> None:
            with e.loop(args.tiles.blocks) as block:
                start = e.at(source, e.multiply(tile.index, BLOCK), e.multiply(block.index, args.capacity, BLOCK))
                values = [e.load(start, e.multiply(args.stride, k)) for k in range(points**2)]
                offset = e.load(bias, e.multiply(block.index, BLOCK))
                out = tile.at(target, block.index)
                rows = [[b.fadd(each, offset) for each in row] for row in transform(e, matrix, square(values, points))]
                finite.check_corners(rows)
                for i, row in enumerate(rows):
                    for j, each in enumerate(row):
                        y = leaky(e, each, slope, kept)
                        place = e.at(out, tile.offset(i, j))
                        e.store(y, b.select(mask[i][j], place, dropped) if mask else place)

        tile.inside_or_masked(side, transform_blocks)
    finite.report(args.not_finite)


class _Tile:
    """Position of a tile in its image.

    Attributes:
        index: index among the transformed tiles.
    """

    def __init__(self, e: Emitter, index: Value, image: Value, row: Value, column: Value) -> None:
        self.e, self.index, self.row, self.column = e, index, row, column
        tiles = e.arguments.tiles
        self.height, self.width = tiles.height, tiles.width
        self.line = e.multiply(self.width, BLOCK)
        self.plane = e.multiply(self.height, self.line)
        first_block = e.multiply(image, tiles.image_blocks, self.plane)
        self.start = e.add(first_block, e.multiply(row, self.line), e.multiply(column, BLOCK))

    def at(self, pointer: Value, block: Value) -> Value:
        """A pointer to the tile's first value in a block of channels."""
        return self.e.at(pointer, self.start, self.e.multiply(block, self.plane))

    def offset(self, i: int, j: int) -> Value:
        """Offset of a value from the first."""
        return self.e.add(self.e.multiply(self.line, i), j * BLOCK)

    def inside_or_masked(self, side: int, write: Callable[[Mask | None], None]) -> None:
        """Emit code twice: without a mask for tiles inside the image, and with a mask for the others."""
        with self.e.if_else(self._is_inside(side)) as (then, otherwise):
            with then:
                write(None)
            with otherwise:
                write(self._mask(side))

    def _is_inside(self, side: int) -> Value:
        e, b = self.e, self.e.builder
        axes = (self.row, self.height), (self.column, self.width)
        starts = [e.is_within(first, size) for first, size in axes]
        ends = [b.icmp_signed("<=", e.add(first, side), size) for first, size in axes]
        return e.all_of(*starts, *ends)

    def _mask(self, side: int) -> Mask:
        e = self.e
        rows = [e.is_within(e.add(self.row, i), self.height) for i in range(side)]
        columns = [e.is_within(e.add(self.column, j), self.width) for j in range(side)]
        return [[e.all_of(row, column) for column in columns] for row in rows]


@contextlib.contextmanager
def _each_tile(e: Emitter, tiles: TileRange, step: int, pad: Sequence[Value] = ()) -> Iterator[_Tile]:
    """A loop over tiles that are ``step`` apart; the first tile of an image starts in the padding."""
    b = e.builder
    pad_top, pad_left = pad or (INT(0), INT(0))
    tiles_per_image = b.mul(tiles.rows, tiles.columns)
    with e.loop(tiles.count) as loop:
        tile = b.add(tiles.first, loop.index)
        image, rest = b.sdiv(tile, tiles_per_image), b.srem(tile, tiles_per_image)
        row = e.multiply(b.sdiv(rest, tiles.columns), step)
        column = e.multiply(b.srem(rest, tiles.columns), step)
        yield _Tile(e, loop.index, image, b.sub(row, pad_top), b.sub(column, pad_left))
