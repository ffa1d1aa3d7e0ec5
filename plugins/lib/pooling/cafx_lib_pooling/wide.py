"""Maximum over windows larger than their planes, which overlap them in few places.

The loops run over the values of a plane, not over the taps of a window: along rows, then along columns. Since the
first of equal values is picked along both, it is the first in row-major order.
"""

from __future__ import annotations

import math
from typing import Any

from cafx.kernel import Layer
from cafx_lib_im2col import Window
from cafx_lib_pooling.picking import LOWEST, PickingPool
from cafx_lib_pooling.pool import Shape

Meetings = list[tuple[int, slice]]
"""Positions along an axis of a plane, each with the outputs whose windows contain it."""


class WideMaxPool(PickingPool):
    """`MaxPool` in as many passes as a plane has rows and columns."""

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        super().__init__(layer, window, inputs, outputs)
        axes = zip(window.kernel, window.stride, window.pad, window.dilation, inputs, outputs, strict=True)
        self.rows, self.columns = (meetings(*axis) for axis in axes)
        self.column: Any = None

    def prepare(self) -> None:
        """See `PickingPool`; there is no table of taps."""

    def forward(self, x: Any, y: Any) -> None:
        """y = max over the window."""
        xp, (height, width) = self.xp, self.inputs
        along = xp.full((*x.shape[:2], height, self.outputs[1]), LOWEST, x.dtype)
        self.column = xp.zeros(along.shape, xp.int32)
        for at, to in self.columns:
            _take_larger(xp, x[..., at : at + 1], at, along[..., to], self.column[..., to])
        y[...] = LOWEST
        self.picked = xp.full(y.shape, -1, xp.int64)
        for at, to in self.rows:
            index = at * width + self.column[:, :, at : at + 1]
            _take_larger(xp, along[:, :, at : at + 1], index, y[:, :, to], self.picked[:, :, to])

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += dy at the selected value."""
        xp, width = self.xp, self.inputs[1]
        along = xp.zeros(self.column.shape, dx.dtype)
        row = self.picked // width
        for at, to in self.rows:
            along[:, :, at] = xp.where(row[:, :, to] == at, dy[:, :, to], 0).sum(axis=2)
        for at, to in self.columns:
            dx[..., at] += xp.where(self.column[..., to] == at, along[..., to], 0).sum(axis=3)

    def write_mask(self, mask: Any) -> None:
        """Write the row-major index of each selected value within its plane; -1 if none was selected."""
        mask[...] = self.picked


def _take_larger(xp: Any, values: Any, index: Any, best: Any, picked: Any) -> None:
    """Replace the best values by larger ones, and their indices with them."""
    picked[...] = xp.where(values > best, index, picked)
    xp.fmax(best, values, out=best)


def meetings(kernel: int, stride: int, pad: int, dilation: int, inputs: int, outputs: int) -> Meetings:
    """The positions along an axis with the outputs that read them.

    Output o reads position i if i + pad = o·stride + k·dilation for a tap k: for every so many outputs in a range.

    Example:
        >>> meetings(3, 1, 1, 1, 2, 2)
        [(0, slice(0, 2, 1)), (1, slice(0, 2, 1))]
    """
    found = []
    for at in range(inputs):
        first = max(0, -(-(at + pad - (kernel - 1) * dilation) // stride))
        last = min(outputs - 1, (at + pad) // stride)
        step = dilation // math.gcd(dilation, stride)
        candidates = range(first, min(last, first + step - 1) + 1)
        begin = next((each for each in candidates if (at + pad - each * stride) % dilation == 0), None)
        if begin is not None:
            found.append((at, slice(begin, last + 1, step)))
    return found
