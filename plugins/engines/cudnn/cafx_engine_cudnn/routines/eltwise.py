"""Eltwise: sums, products and maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.flat import MOST, Flat, filled, numbers
from cafx_engine_cudnn.operands import Operand


class Eltwise(Flat):
    """y = relu(Σ cᵢ xᵢ), relu(Π xᵢ) or relu(max xᵢ), and the gradients.

    Up to four bottoms are read by one kernel; the ReLU's gradient and that of every bottom of a sum or
    maximum are one pass. Which bottom is the largest is found again in backward rather than stored.

    Attributes:
        coefficients: cᵢ.
        plain_sum: whether it adds two bottoms.
    """

    def choose(self) -> None:
        """The operation, and the layout."""
        options, operations = self.layer.options, type(self.layer.options).EltwiseOp
        self.operation: str = options.operation.name
        self.coefficients: Sequence[float] = self.layer.coefficients
        self.is_sum, self.is_product = options.operation == operations.SUM, options.operation == operations.PROD
        self.plain_sum = self.is_sum and len(self.bottoms) == 2 and set(self.coefficients) == {1.0}
        if any(bottom is self.tops[0] for bottom in self.bottoms):
            raise Unsupported("in place")
        if not self.is_sum and len(self.bottoms) > MOST:
            raise Unsupported(f"{self.operation} of more than {MOST} bottoms")
        if self.is_product and self.training and not options.stable_prod_grad:
            raise Unsupported("gradients by division")
        self.choose_layout(self.bottoms)
        self.xs = [self.values_of(bottom) for bottom in self.bottoms]
        self.y, self.dy = self.values_of(self.tops[0]), self.gradient_of(self.tops[0])
        self.dxs = [self.gradient_of(bottom) for bottom in self.bottoms]
        self.leave(self.y, blobs=self.tops)

    @property
    def forward_uses(self) -> Access:
        """From the bottoms to the top."""
        return Access(reads=self.xs, writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From the top's gradient to those that are needed; a sum needs no values."""
        values = [] if self.is_sum else self.xs
        masks = [self.y] if self.fusion.slope is not None else []
        return Access(reads=[self.dy, *masks, *values], writes=[dx for _, dx in self._needed])

    @property
    def _needed(self) -> list[tuple[int, Operand]]:
        """The bottoms whose gradient is needed."""
        return [(index, dx) for index, dx in enumerate(self.dxs) if self.propagate_down[index]]

    def forward(self) -> None:
        """Combine the bottoms."""
        xs = [x.read() for x in self.xs]
        y, slope = self.y.target(), self.fusion.slope
        ending = np.int64(self.count), np.int32(slope is not None), np.float32(slope or 0.0)
        if self.is_sum:
            self.sum_up(xs, self.coefficients, y, slope)
        elif self.is_product:
            self.combine("product", *filled(xs), y, None, *ending)
        else:
            self.combine("maximum", *filled(xs), y, *ending)
        self.y.written()

    def backward(self) -> None:
        """Write the gradients that are needed."""
        if not self._needed:
            return
        dy = self.dy.read()
        y = self.y.read() if self.fusion.slope is not None else None
        slope = np.float32(self.fusion.slope or 0.0)
        targets = {index: dx.target() for index, dx in self._needed}
        if self.is_sum:
            self._write_sum_gradients(dy, y, slope, targets)
        elif self.is_product:
            self._write_product_gradients(dy, y, slope, targets)
        else:
            given = [targets.get(index) for index in range(len(self.xs))]
            xs = filled([x.read() for x in self.xs])
            self.combine("maximum_gradients", dy, y, slope, *xs, *filled(given), np.int64(self.count))
        for _, dx in self._needed:
            dx.written()

    def _write_sum_gradients(self, dy: Any, y: Any, slope: np.float32, targets: dict[int, Any]) -> None:
        indices = list(targets)
        for start in range(0, len(indices), MOST):
            part = indices[start : start + MOST]
            factors = numbers([self.coefficients[index] for index in part])
            arrays = filled([targets[index] for index in part])
            self.combine("sum_gradients", dy, y, slope, *arrays, *factors, np.int64(self.count))

    def _write_product_gradients(self, dy: Any, y: Any, slope: np.float32, targets: dict[int, Any]) -> None:
        xs = [x.read() for x in self.xs]
        for index, target in targets.items():
            others = filled([dy, *xs[:index], *xs[index + 1 :]])
            self.combine("product", *others, target, y, np.int64(self.count), np.int32(0), slope)
