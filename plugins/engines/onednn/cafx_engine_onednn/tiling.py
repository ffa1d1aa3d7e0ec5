"""How activations are cut into Winograd's tiles, so much at a time as fits the caches."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .memory import MemoryDesc
from .winograd import RESULTS, SIDE

BLOCK = 16
FACTORS = SIDE * SIDE
CACHED, AT_ONCE = 4 << 20, 20 << 20
"""Bytes of factors taken at a time; and where the weights, read again each time, have more of them."""
VALUE = 4


@attrs.frozen
class Image:
    """Activations N × C × H × W in blocks of 16 channels, the first tile's corner ``pad`` outside."""

    shape: tuple[int, int, int, int]
    pad: tuple[int, int] = (0, 0)

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[1]

    @property
    def desc(self) -> MemoryDesc:
        """The same bytes, the channels of a block as an axis of their own."""
        images, channels, height, width = self.shape
        return MemoryDesc.plain((images, channels // BLOCK, height, width, BLOCK))


@attrs.frozen
class Chunk:
    """Images from ``first`` on and of them rows of tiles from ``top`` on: what is computed at a time."""

    first: int
    images: int
    top: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        """How many tiles it has."""
        return self.images * self.rows * self.columns

    def factors(self, channels: int) -> MemoryDesc:
        """16 matrices, a row for each tile."""
        return MemoryDesc.plain((FACTORS, self.tiles, channels))

    def tiled(self, channels: int, side: int) -> MemoryDesc:
        """``side`` × ``side`` such matrices, as the axes an image has: N, C/16, rows, side, columns, side, 16."""
        tiles, image = self.tiles, self.rows * self.columns * channels
        dims = self.images, channels // BLOCK, self.rows, side, self.columns, side, BLOCK
        matrix = tiles * channels
        strides = image, BLOCK, self.columns * channels, side * matrix, channels, matrix, 1
        return MemoryDesc.strided(dims, strides)

    def cut(self, channels: int, more: int) -> MemoryDesc:
        """Rows and columns in pairs, ``more`` pairs than there are tiles, in the same axes."""
        rows, columns = self.rows + more, self.columns + more
        return MemoryDesc.plain((self.images, channels // BLOCK, rows, RESULTS, columns, RESULTS, BLOCK))

    def padded(self, channels: int, more: int) -> MemoryDesc:
        """The same bytes as images."""
        rows, columns = RESULTS * (self.rows + more), RESULTS * (self.columns + more)
        return MemoryDesc.plain((self.images, channels // BLOCK, rows, columns, BLOCK))


@attrs.frozen
class Grid:
    """The tiles of results N × … × H × W.

    Attributes:
        channels: the most that factors have.
        weights: bytes of the weights' factors.
    """

    images: int
    height: int
    width: int
    channels: int
    weights: int = 0

    @property
    def columns(self) -> int:
        """Tiles side by side."""
        return -(-self.width // RESULTS)

    @property
    def rows(self) -> int:
        """Tiles one above the other."""
        return -(-self.height // RESULTS)

    @property
    def tiles(self) -> int:
        """How many there are."""
        return self.images * self.rows * self.columns

    def chunks(self) -> Iterator[Chunk]:
        """All tiles, in parts of about the same size: whole images, or rows of one image."""
        most = max(CACHED, min(self.weights, AT_ONCE)) // (FACTORS * VALUE * self.channels * self.columns)
        images = _even(self.images, most // self.rows)
        rows = _even(self.rows, most) if images == 1 else self.rows
        for first in range(0, self.images, images):
            for top in range(0, self.rows, rows):
                yield Chunk(first, min(images, self.images - first), top, min(rows, self.rows - top), self.columns)


def _even(count: int, most: int) -> int:
    """The length of parts of ``count`` that are none above ``most`` and as equal as can be."""
    parts = -(-count // max(1, most))
    return -(-count // parts)


def extent(chunk: Chunk, image: Image, side: int) -> tuple[slice, slice, slice, slice]:
    """The rows and columns of an image under a chunk's tiles; and where they lie in its padded copy."""
    found = []
    for axis, first, count in ((0, chunk.top, chunk.rows), (1, 0, chunk.columns)):
        start = RESULTS * first - image.pad[axis]
        stop = min(start + RESULTS * count + side - RESULTS, image.shape[2 + axis])
        inside = max(start, 0)
        found.append((slice(inside, stop), slice(inside - start, stop - start)))
    (rows, at_rows), (columns, at_columns) = found
    return rows, columns, at_rows, at_columns
