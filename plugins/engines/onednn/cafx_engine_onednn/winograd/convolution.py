"""Convolutions by Winograd's tiles, run by kernels made for this processor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..api.constants import Tag
from ..api.memory import MemoryDesc
from ..emitter import BLOCK
from ..winograd.matrices import AHEAD, BACK, WEIGHTS, Scheme, fewest
from ..winograd.passes import Bytes, Correlation, Kernels, WeightsGradient
from ..winograd.program import Tasks
from ..winograd.tiling import Grid, Shape, blocks, rounded

MOVING, TURNING = 15, 22
"""How many multiplications take as long as one factor of activations, and as one value of weights or
their factors, is made or read."""
WORTH = 0.8
"""The share of the direct way's cost below which tiles are taken."""
LEAST = 1 << 25
"""Multiplications below which kernels are not worth being made, which takes a second."""

MOST_FILLED = 2.5
"""By how much products may grow where channels do not fill blocks; direct ways are as slow there."""


class Tiles:
    """The three passes of one convolution.

    Args:
        build: whose threads and memory are used.
        source, result: shapes of bottom and top.
        taps: of the kernel, along each axis.
        pad: of rows and columns.
        group: into how many parts the channels are divided.
    """

    def __init__(
        self, build: Any, source: Sequence[int], result: Sequence[int], taps: int, pad: Sequence[int],
        group: int,
    ) -> None:  # fmt: skip
        self.build, self.taps, self.pad = build, taps, (pad[0], pad[1])
        self.source, self.result = _four(source), _four(result)
        self.kernels = Kernels(group, source[1] // group, result[1] // group, taps)

    @property
    def ahead(self) -> Scheme:
        """The algebra of the way ahead."""
        return fewest(AHEAD[self.taps], *self.result[2:])

    @property
    def back(self) -> Scheme:
        """That of the way back to the bottom."""
        return fewest(BACK[self.taps], *self.source[2:])

    @property
    def adding(self) -> Scheme:
        """That of the weights' gradient."""
        return fewest(WEIGHTS[self.taps], *self.result[2:])

    @staticmethod
    def fits(inputs: int, outputs: int, group: int) -> bool:
        """Whether channels of a group fill blocks of 16, or of the only one fill them well enough."""
        filled = blocks(inputs) * blocks(outputs) * BLOCK**2
        return filled == inputs * outputs or (group == 1 and filled <= MOST_FILLED * inputs * outputs)

    def pay(self, *, training: bool) -> bool:
        """Whether they cost clearly less than the direct way, in multiplications' worth of time."""
        ways = [(self.ahead, self.result)]
        if training:
            ways += [(self.back, self.source), (self.adding, self.result)]
        direct = math.prod(self.result[2:]) * self.result[0] * self.kernels.products * self.taps**2
        return direct > LEAST and sum(self._cost(*way) for way in ways) < WORTH * len(ways) * direct

    def _cost(self, scheme: Scheme, made: Shape) -> int:
        """What a pass takes with results of some shape."""
        factors, tiles = scheme.factors**2, Grid(made, scheme.results).tiles
        k = self.kernels
        products = rounded(tiles) * k.products + MOVING * tiles * k.group * (k.rows + k.columns)
        return factors * products + TURNING * (self.taps**2 + factors) * k.products

    @property
    def weights(self) -> MemoryDesc:
        """How the weights lie."""
        k = self.kernels
        dims = k.outputs, k.inputs, k.taps, k.taps
        if k.group == 1:
            return MemoryDesc.tagged(dims, Tag.W2_I16O)
        return MemoryDesc.tagged((k.group, *dims), Tag.GW2_I16O)

    def forward(self, x: Bytes, weights: Bytes, bias: Bytes | None, y: Bytes, slope: float | None) -> list[Tasks]:
        """y = unit(x ⋆ w + b)."""
        made = Correlation(self.build, self.ahead, self.kernels, around=False)
        source, result = made.image(self.source, x, self.pad), made.image(self.result, y)
        return [made.prepare(source, weights, bias, slope, result)]

    def backward_data(self, dy: Bytes, weights: Bytes, dx: Bytes) -> list[Tasks]:
        """∇x = ∇y ⋆ w turned around, its inputs and outputs exchanged."""
        around = self.taps - 1 - self.pad[0], self.taps - 1 - self.pad[1]
        made = Correlation(self.build, self.back, self.kernels, around=True)
        source, result = made.image(self.result, dy, around), made.image(self.source, dx)
        return [made.prepare(source, weights, None, None, result)]

    def backward_weights(self, x: Bytes, dy: Bytes, weights: Bytes | None, bias: Bytes | None) -> list[Tasks]:
        """∇w and ∇b, of those there are; overwritten."""
        made = WeightsGradient(self.build, self.adding, self.kernels)
        source, result = made.image(self.source, x, self.pad), made.image(self.result, dy)
        return [made.prepare(source, result, weights, bias)]


def _four(shape: Iterable[int]) -> tuple[int, int, int, int]:
    images, channels, height, width = shape
    return images, channels, height, width
