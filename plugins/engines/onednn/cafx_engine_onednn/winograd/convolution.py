"""The three passes of a convolution by Winograd's minimal filtering."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence

from ..api.constants import Tag
from ..api.memory import MemoryDesc
from .builder import Filters, Resources
from .correlation import Correlation, Kept
from .matrices import BACKWARD_DATA, BACKWARD_WEIGHTS, FORWARD, Scheme, fewest_products
from .program import Bytes, Inference, Scratch, Tasks
from .tiling import BLOCK, Shape, TileGrid, channel_blocks, round_up
from .weights_gradient import WeightsGradient

ACTIVATION_COST, WEIGHT_COST = 15, 22
"""Time to transform one value of the activations, and one of the weights, in multiplications."""
WORTHWHILE = 0.8
"""Share of direct convolution's cost below which Winograd's is used."""
READING_COST = 16
"""Time to read one weight from memory, if nothing else is done to it, in multiplications."""
LEAST_MULTIPLICATIONS = 1 << 25
"""Smaller convolutions are not worth compiling kernels for, which takes about a second."""
LEAST_IN_INFERENCE = 1 << 23
"""The same where filters are transformed once."""
Keep = Callable[[Bytes, Hashable, int], Bytes]
"""A provider of memory that lasts, given a parameter, what is made of it, and a number of floats."""
MOST_PADDING = 2.5
"""By how much padding channels to blocks may multiply the work. Direct convolutions are slow there, too."""


class WinogradConvolution:
    """The passes of one convolution with stride 1 and square filters of 3 × 3 or 5 × 5 taps.

    Args:
        source, result: shapes of bottom and top.
        taps: filter size along each axis.
        pad: zero padding of rows and columns.
        group: number of groups.
        threads: number of threads.
        bfloat16: whether bottom and top are bfloat16.
        scratch: provider of scratch buffers.
        keep: for a forward pass that no backward pass follows: where the transformed filters stay.
    """

    def __init__(
        self,
        source: Sequence[int],
        result: Sequence[int],
        taps: int,
        pad: Sequence[int],
        group: int,
        *,
        threads: int,
        bfloat16: bool,
        scratch: Scratch,
        keep: Keep | None = None,
    ) -> None:
        self.resources = Resources(threads, bfloat16, scratch)
        self.taps, self.pad, self.keep = taps, (pad[0], pad[1]), keep
        self.source, self.result = _four(source), _four(result)
        self.filters = Filters(group, source[1] // group, result[1] // group, taps)

    @property
    def forward_scheme(self) -> Scheme:
        """F(m, r) of the forward pass."""
        if self.keep is None:
            return fewest_products(FORWARD[self.taps], *self.result[2:])
        return min(FORWARD[self.taps], key=lambda scheme: self._cost(scheme, self.result))

    @property
    def data_scheme(self) -> Scheme:
        """F(m, r) of the input gradient."""
        return fewest_products(BACKWARD_DATA[self.taps], *self.source[2:])

    @property
    def weights_scheme(self) -> Scheme:
        """F(m, r) of the weight gradient."""
        return fewest_products(BACKWARD_WEIGHTS[self.taps], *self.result[2:])

    @staticmethod
    def fits(inputs: int, outputs: int, group: int) -> bool:
        """Whether the channels of a group fill blocks of 16, or nearly do if there is only one group."""
        padded = channel_blocks(inputs) * channel_blocks(outputs) * BLOCK**2
        return padded == inputs * outputs or (group == 1 and padded <= MOST_PADDING * inputs * outputs)

    def is_faster(self, *, training: bool) -> bool:
        """Whether the passes are estimated to be clearly faster than direct convolution."""
        passes = [(self.forward_scheme, self.result)]
        if training:
            passes += [(self.data_scheme, self.source), (self.weights_scheme, self.result)]
        multiplications = math.prod(self.result[2:]) * self.result[0] * self.filters.products * self.taps**2
        least = LEAST_MULTIPLICATIONS if self.keep is None else LEAST_IN_INFERENCE
        direct = multiplications + (READING_COST * self.filters.products * self.taps**2 if self.keep else 0)
        cost = sum(self._cost(scheme, shape) for scheme, shape in passes)
        return multiplications > least and cost < WORTHWHILE * len(passes) * direct

    def _cost(self, scheme: Scheme, written: Shape) -> int:
        """Estimated time, in multiplications, of a pass that writes images of the given shape."""
        filters, tiles = self.filters, TileGrid(written, scheme.outputs).tiles
        products = round_up(tiles) * filters.products + ACTIVATION_COST * tiles * filters.padded_channels
        read = READING_COST * scheme.components
        weights = read if self.keep else WEIGHT_COST * (self.taps**2 + scheme.components)
        return scheme.components * products + weights * filters.products

    @property
    def weights(self) -> MemoryDesc:
        """The layout of the weights."""
        filters = self.filters
        dims = filters.outputs, filters.inputs, filters.taps, filters.taps
        if filters.group == 1:
            return MemoryDesc.tagged(dims, Tag.W2_I16O)
        return MemoryDesc.tagged((filters.group, *dims), Tag.GW2_I16O)

    def forward(self, x: Bytes, weights: Bytes, bias: Bytes | None, y: Bytes, slope: float | None) -> Tasks | Inference:
        """y = relu(x ⋆ w + b), the ReLU being optional and possibly leaky."""
        scheme = self.forward_scheme
        kept = self._kept(scheme, weights, bias)
        correlation = Correlation(self.resources, scheme, self.filters, rotated=False, kept=kept)
        source, result = correlation.image(self.source, x, self.pad), correlation.image(self.result, y)
        return correlation.prepare(source, weights, bias, slope, result)

    def _kept(self, scheme: Scheme, weights: Bytes, bias: Bytes | None) -> Kept | None:
        """Where the transformed filters and the padded bias stay, if they do."""
        if self.keep is None:
            return None
        filters = self.filters
        width = filters.group * filters.padded_outputs
        transformed = self.keep(weights, (scheme, filters), filters.count(scheme.components))
        return Kept(transformed, self.keep(bias, width, width) if bias else None)

    def backward_data(self, dy: Bytes, weights: Bytes, dx: Bytes) -> Tasks | Inference:
        """∂x = ∂y ⋆ w, with w rotated by 180° and its inputs and outputs swapped."""
        pad = self.taps - 1 - self.pad[0], self.taps - 1 - self.pad[1]
        correlation = Correlation(self.resources, self.data_scheme, self.filters, rotated=True)
        source, result = correlation.image(self.result, dy, pad), correlation.image(self.source, dx)
        return correlation.prepare(source, weights, None, None, result)

    def backward_weights(self, x: Bytes, dy: Bytes, weights: Bytes | None, bias: Bytes | None) -> Tasks:
        """∂w and ∂b, if given; overwritten."""
        gradient = WeightsGradient(self.resources, self.weights_scheme, self.filters)
        source, result = gradient.image(self.source, x, self.pad), gradient.image(self.result, dy)
        return gradient.prepare(source, result, weights, bias)


def _four(shape: Iterable[int]) -> Shape:
    images, channels, height, width = shape
    return images, channels, height, width
