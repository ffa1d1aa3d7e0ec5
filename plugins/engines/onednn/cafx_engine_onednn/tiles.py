"""Convolutions of 3 × 3 by Winograd's tiles: each pass a row of oneDNN primitives.

Activations are copied with their pad, cut into tiles of 4 × 4 that overlap by two and spread into 16
factors; 16 products of matrices follow, with the weights' factors; what they give is gathered into
tiles of 2 × 2 and put in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .attributes import Attr, EltwiseOp, SumOp
from .constants import Alg, Arg
from .dense import matmul
from .memory import Memory, MemoryDesc
from .operands import Operand
from .pointwise import binary, reorder
from .primitives import Call
from .tiling import BLOCK, FACTORS, VALUE, Chunk, Grid, Image, extent
from .winograd import KERNEL, ONES, RESULTS, SIDE, Matrix, gather, spread, spread_kernel

if TYPE_CHECKING:
    from .routine import Accelerated

PLACES, TAPS = RESULTS * RESULTS, KERNEL * KERNEL
PADDED, CUT, SPREAD, RESULT, WEIGHTS, ZEROS = range(1 << 16, (1 << 16) + 6)
"""Slots of memory that lasts for one call."""
MOVING, READING = 20, 30
"""How many multiplications take as long as a factor in the caches, and as a value from memory."""
WORTH = 0.63
"""The share of the direct way's cost below which tiles are taken."""
Bytes = Operand | Memory


class Tiles:
    """The three passes of one convolution.

    Args:
        routine: whose it is.
        source, result: shapes of bottom and top.
        pad: of rows and columns.
        group: into how many parts the channels are divided.
    """

    def __init__(
        self, routine: Accelerated, source: Sequence[int], result: Sequence[int], pad: Sequence[int], group: int
    ) -> None:
        self.routine, self.group = routine, group
        self.pad = pad[0], pad[1]
        self.source, self.result = _four(source), _four(result)
        self.inputs, self.outputs = source[1] // group, result[1] // group
        self.kernels = group * self.inputs * self.outputs

    def pay(self) -> bool:
        """Whether they cost clearly less than the direct way, in multiplications' worth of time."""
        images, outputs, height, width = self.result
        tiles = self._grid(self.result).tiles
        direct = TAPS * images * height * width * self.inputs * outputs
        products = FACTORS * tiles * self.inputs * outputs
        transforms = tiles * (FACTORS * FACTORS * self.source[1] + PLACES * FACTORS * outputs)
        moved = MOVING * tiles * FACTORS * (self.source[1] + outputs) + READING * 2 * FACTORS * self.kernels
        return products + transforms + moved < WORTH * direct

    @property
    def weights(self) -> MemoryDesc:
        """How the weights lie: for each tap and group a matrix, inputs × outputs."""
        many, tap = self.inputs * self.outputs, self.kernels
        dims, strides = (self.outputs, self.inputs, KERNEL, KERNEL), (1, self.outputs, KERNEL * tap, tap)
        if self.group == 1:
            return MemoryDesc.strided(dims, strides)
        return MemoryDesc.strided((self.group, *dims), (many, *strides))

    def forward(self, x: Bytes, weights: Bytes, bias: Bytes | None, y: Bytes, slope: float | None) -> list[Call]:
        """y = unit(x ⋆ w + b)."""
        calls = self._weights_factors(weights, spread_kernel())
        source, result = Image(self.source, self.pad), Image(self.result)
        for chunk in self._grid(self.result).chunks():
            calls += self._spread(x, source, chunk)
            calls += self._multiply(chunk, back=False)
            calls += self._add_bias(bias, chunk) if bias else []
            calls += self._gather(y, result, chunk, slope)
        return calls

    def backward_data(self, dy: Bytes, weights: Bytes, dx: Bytes) -> list[Call]:
        """∇x = ∇y ⋆ w turned around, its inputs and outputs exchanged."""
        calls = self._weights_factors(weights, np.ascontiguousarray(spread_kernel()[:, ::-1]))
        around = KERNEL - 1 - self.pad[0], KERNEL - 1 - self.pad[1]
        source, result = Image(self.result, around), Image(self.source)
        for chunk in self._grid(self.source).chunks():
            calls += self._spread(dy, source, chunk)
            calls += self._multiply(chunk, back=True)
            calls += self._gather(dx, result, chunk, None)
        return calls

    def backward_weights(self, x: Bytes, dy: Bytes, weights: Bytes | None, bias: Bytes | None) -> list[Call]:
        """∇w and ∇b, of those there are; overwritten."""
        calls: list[Call] = []
        source, result = Image(self.source, self.pad), Image(self.result)
        for index, chunk in enumerate(self._grid(self.result).chunks()):
            if weights:
                calls += self._spread(x, source, chunk)
            calls += self._cut(dy, result, chunk, RESULTS, RESULT)
            calls.append(self._matrix(gather().T, RESULT, CUT, chunk.tiles * result.channels))
            attr = Attr([SumOp()] if index else [])
            calls += self._weights_products(chunk, attr) if weights else []
            calls += self._bias_sum(chunk, bias, attr) if bias else []
        if weights:
            calls += self._weights_result(weights)
        return calls

    def _grid(self, result: Sequence[int]) -> Grid:
        most = max(self.source[1], self.result[1])
        return Grid(result[0], result[2], result[3], most, FACTORS * self.kernels * VALUE)

    def _memory(self, slot: int, whole: MemoryDesc, part: MemoryDesc | None = None) -> Memory:
        memory = self.routine.engine.spare(slot, whole)
        return memory.window(part) if part else memory

    def _zeros(self, desc: MemoryDesc) -> Memory:
        return self._memory(ZEROS, desc)

    def _copy(self, source: Memory, target: Memory) -> Call:
        return self.routine.call(reorder(source.desc, target.desc), {Arg.SRC: source, Arg.DST: target})

    def _matrix(self, matrix: Matrix, source: int, target: int, columns: int, attr: Attr | None = None) -> Call:
        """A constant matrix times what is in one slot, into another."""
        rows, inner = matrix.shape
        operands = MemoryDesc.plain((inner, columns)), MemoryDesc.plain((rows, columns))
        return self._times(matrix, self._memory(source, operands[0]), self._memory(target, operands[1]), attr)

    def _times(self, matrix: Matrix, right: Memory, result: Memory, attr: Attr | None = None) -> Call:
        left = Memory(MemoryDesc.plain(matrix.shape), np.ascontiguousarray(matrix))
        return self._product(left, right, result, attr)

    def _product(self, left: Memory, right: Memory, result: Memory, attr: Attr | None = None) -> Call:
        made = matmul(left.desc, right.desc, None, result.desc, attr=attr)
        return self.routine.call(made, {Arg.SRC: left, Arg.WEIGHTS: right, Arg.DST: result})

    def _weights_factors(self, weights: Bytes, matrix: Matrix) -> list[Call]:
        taps, factors = (MemoryDesc.plain((count, self.kernels)) for count in (TAPS, FACTORS))
        return [self._times(matrix, _window(weights, taps), self._memory(WEIGHTS, factors))]

    def _weights_result(self, weights: Bytes) -> list[Call]:
        taps, factors = (MemoryDesc.plain((count, self.kernels)) for count in (TAPS, FACTORS))
        return [self._times(spread_kernel().T, self._memory(WEIGHTS, factors), _window(weights, taps))]

    def _of_group(self, index: int) -> Memory:
        """The weights' factors of one group, inputs × outputs."""
        whole = MemoryDesc.plain((FACTORS, self.group * self.inputs, self.outputs))
        dims, offsets = (FACTORS, self.inputs, self.outputs), (0, index * self.inputs, 0)
        return self._memory(WEIGHTS, whole, whole.part(dims, offsets) if self.group > 1 else whole)

    def _channels_of_group(self, slot: int, chunk: Chunk, channels: int, index: int) -> Memory:
        """The factors of the channels of one group, tiles × channels."""
        whole, some = chunk.factors(channels * self.group), (FACTORS, chunk.tiles, channels)
        return self._memory(slot, whole, whole.part(some, (0, 0, index * channels)) if self.group > 1 else whole)

    def _multiply(self, chunk: Chunk, *, back: bool) -> list[Call]:
        """16 products of matrices for each group: tiles × channels times channels × channels."""
        inner, outer = (self.outputs, self.inputs) if back else (self.inputs, self.outputs)
        calls = []
        for index in range(self.group):
            left = self._channels_of_group(SPREAD, chunk, inner, index)
            right, result = self._of_group(index), self._channels_of_group(CUT, chunk, outer, index)
            if back:
                right = right.window(right.desc.permute((0, 2, 1)))
            calls.append(self._product(left, right, result))
        return calls

    def _weights_products(self, chunk: Chunk, attr: Attr) -> list[Call]:
        """16 products of matrices for each group: channels × tiles times tiles × channels."""
        calls = []
        for index in range(self.group):
            left = self._channels_of_group(SPREAD, chunk, self.inputs, index)
            right = self._channels_of_group(CUT, chunk, self.outputs, index)
            turned = left.window(left.desc.permute((0, 2, 1)))
            calls.append(self._product(turned, right, self._of_group(index), attr))
        return calls

    def _ones(self, chunk: Chunk) -> Memory:
        """The products that count in every result with factor one, tiles × channels."""
        size = chunk.tiles * self.result[1]
        product = MemoryDesc.plain((chunk.tiles, self.result[1]))
        return self._memory(CUT, chunk.factors(self.result[1])).window(product, ONES * size * VALUE)

    def _add_bias(self, bias: Bytes, chunk: Chunk) -> list[Call]:
        ones, row = self._ones(chunk), self._row(bias)
        made = binary(Alg.BINARY_ADD, ones.desc, row.desc, ones.desc)
        return [self.routine.call(made, {Arg.SRC: ones, Arg.SRC_1: row, Arg.DST: ones})]

    def _bias_sum(self, chunk: Chunk, bias: Bytes, attr: Attr) -> list[Call]:
        return [self._times(np.ones((1, chunk.tiles), np.float32), self._ones(chunk), self._row(bias), attr)]

    def _row(self, bias: Bytes) -> Memory:
        return _window(bias, MemoryDesc.plain((1, self.result[1])))

    def _spread(self, x: Bytes, image: Image, chunk: Chunk) -> list[Call]:
        """Tiles of 4 × 4, as factors."""
        columns = chunk.tiles * image.channels
        return [*self._cut(x, image, chunk, SIDE, CUT), self._matrix(spread(), CUT, SPREAD, columns)]

    def _cut(self, x: Bytes, image: Image, chunk: Chunk, side: int, slot: int) -> list[Call]:
        """Tiles of an image, each place in them a matrix tiles × channels."""
        more = side > RESULTS
        cut, tiled = chunk.cut(image.channels, more), chunk.tiled(image.channels, side)
        calls = self._copy_padded(x, image, chunk, side)
        parts = ((0, RESULTS), (1, side - RESULTS)) if more else ((0, RESULTS),)
        for down, height in parts:
            for right, width in parts:
                dims = *tiled.dims[:3], height, chunk.columns, width, BLOCK
                source = cut.part(dims, (0, 0, down, 0, right, 0, 0))
                target = tiled.part(dims, (0, 0, 0, RESULTS * down, 0, RESULTS * right, 0))
                calls.append(self._copy(self._memory(PADDED, cut, source), self._memory(slot, tiled, target)))
        return calls

    def _copy_padded(self, x: Bytes, image: Image, chunk: Chunk, side: int) -> list[Call]:
        """What tiles lie on, with zeros around it."""
        padded = chunk.padded(image.channels, side > RESULTS)
        images, blocks, height, width, _ = padded.dims
        rows, columns, at_rows, at_columns = extent(chunk, image, side)
        calls = []
        for top, bottom, left, right in (
            (0, at_rows.start, 0, width),
            (at_rows.stop, height, 0, width),
            (at_rows.start, at_rows.stop, 0, at_columns.start),
            (at_rows.start, at_rows.stop, at_columns.stop, width),
        ):
            if top < bottom and left < right:
                dims = images, blocks, bottom - top, right - left, BLOCK
                border = padded.part(dims, (0, 0, top, left, 0))
                calls.append(self._copy(self._zeros(MemoryDesc.plain(dims)), self._memory(PADDED, padded, border)))
        dims = images, blocks, rows.stop - rows.start, columns.stop - columns.start, BLOCK
        inside = padded.part(dims, (0, 0, at_rows.start, at_columns.start, 0))
        there = image.desc.part(dims, (chunk.first, 0, rows.start, columns.start, 0))
        return [*calls, self._copy(_window(x, there), self._memory(PADDED, padded, inside))]

    def _gather(self, y: Bytes, image: Image, chunk: Chunk, slope: float | None) -> list[Call]:
        """Products to tiles of 2 × 2, and these to their places."""
        attr = Attr() if slope is None else Attr([EltwiseOp(Alg.RELU, slope)])
        tiled, cut = chunk.tiled(image.channels, RESULTS), chunk.cut(image.channels, 0)
        padded = chunk.padded(image.channels, 0)
        rows, columns, _, _ = extent(chunk, image, RESULTS)
        dims = *padded.dims[:2], rows.stop - rows.start, columns.stop - columns.start, BLOCK
        there = image.desc.part(dims, (chunk.first, 0, rows.start, columns.start, 0))
        return [
            self._matrix(gather(), CUT, SPREAD, chunk.tiles * image.channels, attr),
            self._copy(self._memory(SPREAD, tiled), self._memory(PADDED, cut)),
            self._copy(self._memory(PADDED, padded, padded.part(dims, (0,) * 5)), _window(y, there)),
        ]


def _window(held: Bytes, desc: MemoryDesc) -> Memory:
    return (held.bind() if isinstance(held, Operand) else held).window(desc)


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    images, channels, height, width = shape
    return images, channels, height, width
