"""How a convolution is divided into Winograd's tiles, and these into tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ..emitter import BLOCK
from ..winograd.gemm import ROWS

Shape = tuple[int, int, int, int]
VALUE = 4
CACHED = 1 << 20
"""Bytes of factors that a thread takes at a time, to stay in its caches."""
AT_ONCE = 8 << 20
"""Bytes of factors that all threads take at a time, where their products are added up."""
PAD = BLOCK
"""Values between factors, so that these do not fall together in a cache."""


@attrs.frozen
class Grid:
    """The tiles of images N × C × H × W: of ``step`` × ``step`` results each.

    Attributes:
        shape: of the results.
        step: from tile to tile.
    """

    shape: Shape
    step: int

    @property
    def rows(self) -> int:
        """Tiles one above the other."""
        return -(-self.shape[2] // self.step)

    @property
    def columns(self) -> int:
        """Tiles side by side."""
        return -(-self.shape[3] // self.step)

    @property
    def tiles(self) -> int:
        """How many there are."""
        return self.shape[0] * self.rows * self.columns

    def parts(self, most: int, even: int = 1) -> list[tuple[int, int]]:
        """First tile and number of tiles of parts of about the same size, none above ``most``.

        Args:
            most: tiles of a part; at least `ROWS` are taken.
            even: the number of parts is a multiple of this, if there are tiles enough.
        """
        count = -(-self.tiles // max(most, ROWS))
        count = -(-count // even) * even
        size = rounded(-(-self.tiles // count))
        return [(first, min(size, self.tiles - first)) for first in range(0, self.tiles, size)]


def rounded(tiles: int) -> int:
    """Tiles as kernels take them: in multiples of `ROWS`."""
    return -(-tiles // ROWS) * ROWS


def shares(count: int, parts: int) -> Iterator[tuple[int, int]]:
    """First and number of each of up to ``parts`` parts of ``count`` things."""
    size = -(-count // parts)
    for first in range(0, count, size):
        yield first, min(size, count - first)


@attrs.frozen
class Factors:
    """Matrices of factors in memory: C/16 × so many tiles × 16 each.

    Attributes:
        blocks: C/16.
        lane: room for so many tiles.
        begin: values before the first.
    """

    count: int
    blocks: int
    lane: int
    begin: int = 0

    @property
    def step(self) -> int:
        """Values from factor to factor."""
        return self.blocks * self.lane * BLOCK + PAD

    @property
    def end(self) -> int:
        """Values to the end of the last."""
        return self.begin + self.count * self.step

    def at(self, factor: int, block: int = 0, tile: int = 0) -> int:
        """Where a tile of a block of a factor lies."""
        return self.begin + factor * self.step + (block * self.lane + tile) * BLOCK


def blocks(channels: int) -> int:
    """How many blocks of 16 they fill or begin."""
    return -(-channels // BLOCK)


def extent(shape: Sequence[int]) -> dict[str, int]:
    """What kernels want to know of an image."""
    return {"height": shape[2], "width": shape[3], "blocks": blocks(shape[1])}
