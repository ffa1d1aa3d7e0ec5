"""Convolutions by Winograd's tiles, run by kernels made for this processor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .memory import MemoryDesc
from .passes import Bytes, Correlation, Kernels, WeightsGradient
from .tasks import Tasks
from .tiling import Grid, Shape, rounded
from .winograd import AHEAD, BACK, WEIGHTS, Scheme, fewest

if TYPE_CHECKING:
    from .routine import Accelerated

MOVING, TURNING = 15, 22
"""How many multiplications take as long as one factor of activations, and as one value of weights or
their factors, is made or read."""
WORTH = 0.8
"""The share of the direct way's cost below which tiles are taken."""


class Tiles:
    """The three passes of one convolution.

    Args:
        routine: whose it is.
        source, result: shapes of bottom and top.
        taps: of the kernel, along each axis.
        pad: of rows and columns.
        group: into how many parts the channels are divided.
    """

    def __init__(
        self, routine: Accelerated, source: Sequence[int], result: Sequence[int], taps: int, pad: Sequence[int],
        group: int,
    ) -> None:  # fmt: skip
        self.routine, self.taps, self.pad = routine, taps, (pad[0], pad[1])
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

    def pay(self, *, training: bool) -> bool:
        """Whether they cost clearly less than the direct way, in multiplications' worth of time."""
        ways = [(self.ahead, self.result)]
        if training:
            ways += [(self.back, self.source), (self.adding, self.result)]
        direct = math.prod(self.result[2:]) * self.result[0] * self.kernels.tap * self.taps**2
        return sum(self._cost(*way) for way in ways) < WORTH * len(ways) * direct

    def _cost(self, scheme: Scheme, made: Shape) -> int:
        """What a pass takes with results of some shape."""
        factors, tiles = scheme.factors**2, Grid(made, scheme.results).tiles
        products = rounded(tiles) * self.kernels.tap + MOVING * tiles * (self.source[1] + self.result[1])
        return factors * products + TURNING * (self.taps**2 + factors) * self.kernels.tap

    @property
    def weights(self) -> MemoryDesc:
        """How the weights lie: for each tap and group a matrix, inputs × outputs."""
        k = self.kernels
        dims = k.outputs, k.inputs, k.taps, k.taps
        strides = 1, k.outputs, k.taps * k.tap, k.tap
        if k.group == 1:
            return MemoryDesc.strided(dims, strides)
        return MemoryDesc.strided((k.group, *dims), (k.inputs * k.outputs, *strides))

    def forward(self, x: Bytes, weights: Bytes, bias: Bytes | None, y: Bytes, slope: float | None) -> list[Tasks]:
        """y = unit(x ⋆ w + b)."""
        made = Correlation(self.routine.engine, self.ahead, self.kernels, around=False)
        source, result = made.image(self.source, x, self.pad), made.image(self.result, y)
        return [made.prepare(source, weights, bias, slope, result)]

    def backward_data(self, dy: Bytes, weights: Bytes, dx: Bytes) -> list[Tasks]:
        """∇x = ∇y ⋆ w turned around, its inputs and outputs exchanged."""
        around = self.taps - 1 - self.pad[0], self.taps - 1 - self.pad[1]
        made = Correlation(self.routine.engine, self.back, self.kernels, around=True)
        source, result = made.image(self.result, dy, around), made.image(self.source, dx)
        return [made.prepare(source, weights, None, None, result)]

    def backward_weights(self, x: Bytes, dy: Bytes, weights: Bytes | None, bias: Bytes | None) -> list[Tasks]:
        """∇w and ∇b, of those there are; overwritten."""
        made = WeightsGradient(self.routine.engine, self.adding, self.kernels)
        source, result = made.image(self.source, x, self.pad), made.image(self.result, dy)
        return [made.prepare(source, result, weights, bias)]


def _four(shape: Iterable[int]) -> tuple[int, int, int, int]:
    images, channels, height, width = shape
    return images, channels, height, width
