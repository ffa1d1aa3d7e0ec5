"""Pooling that adds up each window: its mean, and what chance would pick on average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cafx.kernel import Layer
from cafx_layer_im2col import Window, meetings
from cafx_layer_pooling.pool import Pool, Shape


class SummingPool(Pool):
    """Sums over windows, first along rows, then along columns: kernel + kernel steps, not their product."""

    def sums(self, x: Any, y: Any) -> None:
        """y = Σ over the window."""
        rows = self._rows(x.shape)
        for _, to, at in self._along(1):
            rows[..., to] += x[..., at]
        y[...] = 0
        for _, to, at in self._along(0):
            y[:, :, to] += rows[:, :, at]

    def add_back(self, dy: Any, dx: Any) -> None:
        """dx += what each window's sum gives back to its values."""
        rows = self._rows(dx.shape)
        for _, to, at in self._along(0):
            rows[:, :, at] += dy[:, :, to]
        for _, to, at in self._along(1):
            dx[..., at] += rows[..., to]

    def _along(self, axis: int) -> Iterator[tuple[int, slice, slice]]:
        window = self.window
        return meetings(
            window.kernel[axis], window.stride[axis], window.pad[axis], 1,
            self.inputs[axis], self.outputs[axis],
        )  # fmt: skip

    def _rows(self, shape: Shape) -> Any:
        rows = self.layer.workspace((*shape[:3], self.outputs[1]), "rows")
        rows[...] = 0
        return rows


class AveragePool(SummingPool):
    """The mean of each window; pad counts as zeros, what lies beyond it does not count."""

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        super().__init__(layer, window, inputs, outputs)
        down, right = (
            [min(kernel, size + 2 * pad - o * stride) for o in range(count)]
            for kernel, stride, pad, size, count in zip(
                window.kernel, window.stride, window.pad, inputs, outputs, strict=True
            )
        )
        sizes = [[rows * columns for columns in right] for rows in down]
        self.sizes = self.xp.asarray(sizes, dtype=layer.context.dtype)

    def forward(self, x: Any, y: Any) -> None:
        """y = Σ over the window / its size."""
        self.sums(x, y)
        y /= self.sizes

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += dy / the window's size, for each window."""
        self.add_back(dy / self.sizes, dx)


class WeightedPool(SummingPool):
    """The values' mean, each weighted by its own probability of being drawn: Σ x² / Σ x."""

    def forward(self, x: Any, y: Any) -> None:
        """y = Σ x² / Σ x over the window, 0 where Σ x is not positive."""
        y[...] = self._mean(x, y.shape)[0]

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += Σ dy (2x - y) / Σ x over the windows."""
        mean, part = self._mean(x, dy.shape)
        by_value = self.xp.zeros_like(dx)
        self.add_back(dy * part, by_value)
        dx += 2 * x * by_value
        self.add_back(-dy * part * mean, dx)

    def _mean(self, x: Any, shape: Shape) -> tuple[Any, Any]:
        total, squares = self.xp.empty(shape, x.dtype), self.xp.empty(shape, x.dtype)
        self.sums(x, total)
        self.sums(x * x, squares)
        positive = total > 0
        part = positive / self.xp.where(positive, total, 1)
        return squares * part, part
