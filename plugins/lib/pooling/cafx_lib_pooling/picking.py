"""Pooling that selects one value per window: the largest, or a random one.

The loops run over the taps of the window: for a fixed tap, the planes are a strided slice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cafx.kernel import Layer
from cafx_lib_im2col import Window
from cafx_lib_pooling.pool import Pool, Shape

LOWEST = float(np.finfo(np.float32).min)


class PickingPool(Pool):
    """Selects one value per window; `picked` holds the number of its tap, counted from 1 (0: none)."""

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        super().__init__(layer, window, inputs, outputs)
        self.picked: Any = None
        self.prepare()

    def prepare(self) -> None:
        """List the taps, and for a mask, where they are in a plane."""
        window, inputs, outputs = self.window, self.inputs, self.outputs
        self.taps = list(window.taps(inputs, outputs))
        width, (up, left), (down, right) = inputs[1], window.pad, window.stride
        rows, columns = (self.xp.arange(count) for count in outputs)
        self.corners = (rows[:, None] * down - up) * width + columns * right - left
        apart, beside = window.dilation
        within = [row * apart * width + column * beside for (row, column), _, _ in self.taps]
        self.within = self.xp.asarray([0, *within])

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += dy at the selected value."""
        for number, (_, to, at) in enumerate(self.taps, 1):
            part = dx[(..., *at)]
            part += self.xp.where(self.picked[(..., *to)] == number, dy[(..., *to)], 0)

    def write_mask(self, mask: Any) -> None:
        """Write the row-major index of each selected value within its plane; -1 if none was selected."""
        mask[...] = self.xp.where(self.picked > 0, self.corners + self.within[self.picked], -1)

    def _none_picked(self, shape: Shape) -> Any:
        return self.xp.zeros(shape, np.min_scalar_type(len(self.taps)))


class MaxPool(PickingPool):
    """The largest value of each window; of equal values, the first in row-major order.

    As in Caffe, only values above the lowest finite number are picked, hence neither NaN nor −∞. A window
    without any has that number, and no gradient.
    """

    def forward(self, x: Any, y: Any) -> None:
        """y = max over the window."""
        y[...] = LOWEST
        self.picked = self._none_picked(y.shape)
        for number, (_, to, at) in enumerate(self.taps, 1):
            values, best, picked = x[(..., *at)], y[(..., *to)], self.picked[(..., *to)]
            better = (values > best).astype(picked.dtype)
            self.xp.maximum(picked, better * number, out=picked)
            self.xp.fmax(best, values, out=best)


class WholePlanePool(PickingPool):
    """`MaxPool` of the whole plane, by one search instead of a pass per tap."""

    def forward(self, x: Any, y: Any) -> None:
        """y = max over the plane."""
        flat = self.xp.fmax(x.reshape(*x.shape[:2], math.prod(self.inputs)), LOWEST)
        y[...] = flat.max(axis=2).reshape(y.shape)
        self.picked = (flat.argmax(axis=2) + 1).reshape(y.shape) * (y > LOWEST)

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += dy at the selected value."""
        planes = dx.shape[0] * dx.shape[1]
        flat = dx.reshape(planes, math.prod(self.inputs))
        picked = self.picked.reshape(planes)
        flat[self.xp.arange(planes), picked - 1] += self.xp.where(picked > 0, dy.reshape(planes), 0)


class SamplingPool(PickingPool):
    """A random value of each window, drawn with a probability proportional to the value."""

    def forward(self, x: Any, y: Any) -> None:
        """y = the value at which the cumulative sum reaches a random fraction of the window's sum."""
        total, so_far = self.xp.zeros_like(y), self.xp.zeros_like(y)
        for _, to, at in self.taps:
            total[(..., *to)] += x[(..., *at)]
        # 1 − [0, 1) is never 0, so that values of 0 are never drawn
        total *= 1 - self.layer.uniform(y.shape, np.float64).astype(y.dtype)
        y[...] = 0
        self.picked = self._none_picked(y.shape)
        for number, (_, to, at) in enumerate(self.taps, 1):
            values, picked, reached = x[(..., *at)], self.picked[(..., *to)], so_far[(..., *to)]
            reached += values
            selected = (reached >= total[(..., *to)]) & (picked == 0)
            picked += selected.astype(picked.dtype) * number
            y[(..., *to)] += values * selected
