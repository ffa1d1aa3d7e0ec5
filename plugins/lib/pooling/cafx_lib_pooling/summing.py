"""Pooling by sums over windows: the mean, and the expectation of stochastic pooling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cafx.kernel import Layer
from cafx_lib_im2col import Window, axis_taps
from cafx_lib_pooling.pool import Pool, Shape


class SummingPool(Pool):
    """Separable window sums: along rows, then along columns, in kernel_h + kernel_w passes."""

    def sums(self, x: Any, y: Any) -> None:
        """y = Σ over the window."""
        rows = self._rows(x.shape)
        for _, to, at in self._taps(1):
            rows[..., to] += x[..., at]
        y[...] = 0
        for _, to, at in self._taps(0):
            y[:, :, to] += rows[:, :, at]

    def add_sums_gradient(self, dy: Any, dx: Any) -> None:
        """dx += Σ dy over the windows that contain x: the adjoint of `sums`."""
        rows = self._rows(dx.shape)
        for _, to, at in self._taps(0):
            rows[:, :, at] += dy[:, :, to]
        for _, to, at in self._taps(1):
            dx[..., at] += rows[..., to]

    def _taps(self, axis: int) -> Iterator[tuple[int, slice, slice]]:
        window = self.window
        geometry = (each[axis] for each in (window.kernel, window.stride, window.pad, window.dilation))
        return axis_taps(*geometry, self.inputs[axis], self.outputs[axis])

    def _rows(self, shape: Shape) -> Any:
        rows = self.layer.workspace((*shape[:3], self.outputs[1]), "rows")
        rows[...] = 0
        return rows


class AveragePool(SummingPool):
    """The mean of each window; padding counts as zeros, positions beyond it do not count."""

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        super().__init__(layer, window, inputs, outputs)
        heights, widths = (
            [min(kernel, -(-(size + 2 * pad - o * stride) // apart)) for o in range(count)]
            for kernel, stride, pad, apart, size, count in zip(
                window.kernel, window.stride, window.pad, window.dilation, inputs, outputs, strict=True
            )
        )
        dtype = layer.context.dtype
        self.heights = self.xp.asarray(heights, dtype=dtype).reshape(-1, 1)
        self.widths = self.xp.asarray(widths, dtype=dtype)

    @property
    def sizes(self) -> Any:
        """The size of each window."""
        return self.heights * self.widths

    def forward(self, x: Any, y: Any) -> None:
        """y = Σ over the window / size of the window."""
        self.sums(x, y)
        y /= self.sizes

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += Σ dy / size of the window, over the windows that contain x."""
        self.add_sums_gradient(dy / self.sizes, dx)


class WeightedPool(SummingPool):
    """The expectation of stochastic pooling: Σ x² / Σ x."""

    def forward(self, x: Any, y: Any) -> None:
        """y = Σ x² / Σ x over the window, 0 where Σ x is not positive."""
        y[...] = self._mean(x, y.shape)[0]

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """dx += Σ dy (2x − y) / Σ x over the windows that contain x."""
        mean, inverse = self._mean(x, dy.shape)
        by_value = self.xp.zeros_like(dx)
        self.add_sums_gradient(dy * inverse, by_value)
        dx += 2 * x * by_value
        self.add_sums_gradient(-dy * inverse * mean, dx)

    def _mean(self, x: Any, shape: Shape) -> tuple[Any, Any]:
        """Σ x² / Σ x and 1 / Σ x, both 0 where Σ x is not positive."""
        total, squares = self.xp.empty(shape, x.dtype), self.xp.empty(shape, x.dtype)
        self.sums(x, total)
        self.sums(x * x, squares)
        positive = total > 0
        inverse = positive / self.xp.where(positive, total, 1)
        return squares * inverse, inverse
