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
    """Consecutive tiles, as an argument of kernels.

    Attributes:
        first, count: first tile, and number of tiles.
        rows, columns: number of tiles per image, vertically and horizontally.
        height, width: size of an image.
        image_blocks: number of blocks of its channels.
        blocks: how many of them.
    """

    first: int
    count: int
    rows: int
    columns: int
    height: int
    width: int
    image_blocks: int
    blocks: int


@attrs.frozen
class TileGrid:
    """The tiles of the images N × C × H × W that a pass writes.

    Attributes:
        shape: N, C, H, W.
        side: height and width of a tile.
    """

    shape: Shape
    side: int

    @property
    def rows(self) -> int:
        """Number of tiles per image from top to bottom."""
        return -(-self.shape[2] // self.side)

    @property
    def columns(self) -> int:
        """Number of tiles per image from left to right."""
        return -(-self.shape[3] // self.side)

    @property
    def tiles(self) -> int:
        """Number of tiles of all images."""
        return self.shape[0] * self.rows * self.columns

    def chunks(self, largest: int, multiple_of: int = 1) -> list[Range]:
        """First tile and number of tiles of each chunk; chunks have about the same size.

        Args:
            largest: maximum number of tiles per chunk, but at least `TILE_MULTIPLE`.
            multiple_of: divides the number of chunks, if there are enough tiles.
        """
        count = -(-self.tiles // max(largest, TILE_MULTIPLE))
        count = -(-count // multiple_of) * multiple_of
        size = round_up(-(-self.tiles // count))
        return [(first, min(size, self.tiles - first)) for first in range(0, self.tiles, size)]

    def range(self, first: int, count: int, image: Shape, blocks: int = 0) -> TileRange:
        """The range of tiles, for images of another size or number of channels, or some blocks of them."""
        return TileRange(
            first=first,
            count=count,
            rows=self.rows,
            columns=self.columns,
            height=image[2],
            width=image[3],
            image_blocks=channel_blocks(image[1]),
            blocks=blocks or channel_blocks(image[1]),
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
        components: number of components.
        blocks: C/16.
        capacity: number of tiles allocated.
        start: offset of the first matrix in floats.
    """

    components: int
    blocks: int
    capacity: int
    start: int = 0

    @property
    def stride(self) -> int:
        """Distance in floats between components."""
        return self.blocks * self.capacity * BLOCK + COMPONENT_PAD

    @property
    def end(self) -> int:
        """Offset of the end of the last matrix in floats."""
        return self.start + self.components * self.stride

    def at(self, component: int, block: int = 0, tile: int = 0) -> int:
        """Offset of a tile of a block of channels."""
        return self.start + component * self.stride + (block * self.capacity + tile) * BLOCK


def channel_blocks(channels: int) -> int:
    """Number of blocks of 16 channels."""
    return -(-channels // BLOCK)
