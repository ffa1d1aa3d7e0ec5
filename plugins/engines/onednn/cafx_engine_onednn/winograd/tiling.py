"""Division of a convolution into Winograd tiles, and of the tiles into tasks."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from cafx_lib_llvm import LANES, Arguments

Shape = tuple[int, int, int, int]
Range = tuple[int, int]
"""The first of some tiles, components or other things, and their number."""
BLOCK = LANES
"""Channels of a block: those of a pixel lie side by side in memory."""
TILE_MULTIPLE = 12
"""Matrix products take tiles in multiples of this number."""
COMPONENT_PAD = BLOCK
"""Floats between components, so that they do not compete for the same lines of a cache."""


@attrs.frozen(kw_only=True)
class TileRange(Arguments):
    """Some tiles of images, as kernels see them.

    Attributes:
        first, count: of the tiles.
        rows, columns: tiles per image.
        height, width: of an image.
        blocks: of its channels.
    """

    first: int
    count: int
    rows: int
    columns: int
    height: int
    width: int
    blocks: int


@attrs.frozen
class TileGrid:
    """The tiles of the images N × C × H × W that a pass writes.

    Attributes:
        shape: of the images.
        side: of a tile.
    """

    shape: Shape
    side: int

    @property
    def rows(self) -> int:
        """Tiles per image from top to bottom."""
        return -(-self.shape[2] // self.side)

    @property
    def columns(self) -> int:
        """Tiles per image from left to right."""
        return -(-self.shape[3] // self.side)

    @property
    def tiles(self) -> int:
        """Tiles of all images."""
        return self.shape[0] * self.rows * self.columns

    def chunks(self, largest: int, multiple_of: int = 1) -> list[Range]:
        """First tile and number of tiles of chunks of about the same size.

        Args:
            largest: tiles per chunk; at least `TILE_MULTIPLE` are taken.
            multiple_of: the number of chunks is a multiple of this where there are enough tiles.
        """
        count = -(-self.tiles // max(largest, TILE_MULTIPLE))
        count = -(-count // multiple_of) * multiple_of
        size = round_up(-(-self.tiles // count))
        return [(first, min(size, self.tiles - first)) for first in range(0, self.tiles, size)]

    def range(self, first: int, count: int, image: Shape) -> TileRange:
        """Some of the tiles in images of any size and number of channels."""
        return TileRange(
            first=first,
            count=count,
            rows=self.rows,
            columns=self.columns,
            height=image[2],
            width=image[3],
            blocks=channel_blocks(image[1]),
        )


def round_up(tiles: int) -> int:
    """The next multiple of `TILE_MULTIPLE`."""
    return -(-tiles // TILE_MULTIPLE) * TILE_MULTIPLE


def split(count: int, parts: int) -> Iterator[Range]:
    """Start and length of at most ``parts`` ranges of about the same length that cover ``range(count)``."""
    size = -(-count // parts)
    for first in range(0, count, size):
        yield first, min(size, count - first)


@attrs.frozen
class TransformLayout:
    """Layout of tiles in the transform domain: for each component a matrix of C/16 × tiles × 16.

    Attributes:
        components: how many there are.
        blocks: C/16.
        capacity: tiles for which there is space.
        start: floats before the first matrix.
    """

    components: int
    blocks: int
    capacity: int
    start: int = 0

    @property
    def stride(self) -> int:
        """Floats from component to component."""
        return self.blocks * self.capacity * BLOCK + COMPONENT_PAD

    @property
    def end(self) -> int:
        """Floats up to the end of the last matrix."""
        return self.start + self.components * self.stride

    def at(self, component: int, block: int = 0, tile: int = 0) -> int:
        """Offset of a tile of a block of channels."""
        return self.start + component * self.stride + (block * self.capacity + tile) * BLOCK


def channel_blocks(channels: int) -> int:
    """Blocks of 16 that hold so many channels."""
    return -(-channels // BLOCK)
