"""Pooling that picks one value of each window: the largest, or one by chance.

The loops go over the places in the window: seen from one of them, the planes are a strided slice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cafx.kernel import Layer
from cafx_layer_im2col import Window
from cafx_layer_pooling.pool import Pool, Shape

LOWEST = float(np.finfo(np.float32).min)


class PickingPool(Pool):
    """The value is one of the window's: a number kept for each window says which, 0 for none."""

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        super().__init__(layer, window, inputs, outputs)
        self.taps = list(window.taps(inputs, outputs))
        self.picked: Any = None

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += dy at the value picked."""
        for number, (_, to, at) in enumerate(self.taps, 1):
            met = dx[(..., *at)]
            met += dy[(..., *to)] * (self.picked[(..., *to)] == number)

    def write_mask(self, mask: Any) -> None:
        """Where in its plane, counted row by row, each value was; -1 where none was picked."""
        width, (up, left), (down, right) = self.inputs[1], self.window.pad, self.window.stride
        rows, columns = (self.xp.arange(count) for count in self.outputs)
        corners = (rows[:, None] * down - up) * width + columns * right - left
        within = self.xp.asarray([0] + [row * width + column for (row, column), _, _ in self.taps])
        mask[...] = self.xp.where(self.picked > 0, corners + within[self.picked], -1)

    def _none_picked(self, shape: Shape) -> Any:
        return self.xp.zeros(shape, np.min_scalar_type(len(self.taps)))


class MaxPool(PickingPool):
    """The largest value of each window, the first row by row where there are several."""

    def forward(self, x: Any, y: Any) -> None:
        """y = max over the window."""
        y[...] = LOWEST
        self.picked = self._none_picked(y.shape)
        for number, (_, to, at) in enumerate(self.taps, 1):
            seen, best, picked = x[(..., *at)], y[(..., *to)], self.picked[(..., *to)]
            better = (seen > best).astype(picked.dtype)
            self.xp.maximum(picked, better * number, out=picked)
            self.xp.fmax(best, seen, out=best)


class WholePlanePool(PickingPool):
    """The largest value of the whole plane: one search instead of a step for each place."""

    def forward(self, x: Any, y: Any) -> None:
        """y = max over the plane."""
        flat = x.reshape(*x.shape[:2], math.prod(self.inputs))
        self.picked = (flat.argmax(axis=2) + 1).reshape(y.shape)
        y[...] = flat.max(axis=2).reshape(y.shape)

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += dy at the value picked."""
        planes = dx.shape[0] * dx.shape[1]
        flat = dx.reshape(planes, math.prod(self.inputs))
        flat[self.xp.arange(planes), self.picked.reshape(planes) - 1] += dy.reshape(planes)


class SamplingPool(PickingPool):
    """A value drawn from the window, each with a probability in proportion to itself."""

    def forward(self, x: Any, y: Any) -> None:
        """y = the value at which the sum so far reaches a random part of the window's sum."""
        total, so_far = self.xp.zeros_like(y), self.xp.zeros_like(y)
        for _, to, at in self.taps:
            total[(..., *to)] += x[(..., *at)]
        # a draw above 0 passes over values that are 0
        total *= 1 - self.xp.asarray(self.layer.rng.random(y.shape), dtype=y.dtype)
        y[...] = 0
        self.picked = self._none_picked(y.shape)
        for number, (_, to, at) in enumerate(self.taps, 1):
            seen, picked, reached = x[(..., *at)], self.picked[(..., *to)], so_far[(..., *to)]
            reached += seen
            drawn = (reached >= total[(..., *to)]) & (picked == 0)
            picked += drawn.astype(picked.dtype) * number
            y[(..., *to)] += seen * drawn
