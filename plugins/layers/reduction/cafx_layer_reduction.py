"""Reduction: trailing axes reduced to a scalar."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("reduction_param", 136)
class ReductionParameter(Message):
    """Options of Reduction."""

    class ReductionOp(IntEnum):
        """Sum, sum of absolute values, sum of squares, or mean."""

        SUM = 1
        ASUM = 2
        SUMSQ = 3
        MEAN = 4

    operation: ReductionOp = option(1, ReductionOp, ReductionOp.SUM, doc="SUM, ASUM, SUMSQ or MEAN")
    axis: int = option(2, "int32", 0, doc="first axis to reduce; negative from the end")
    coeff: float = option(3, "float", 1.0, doc="factor of the result")


Op = ReductionParameter.ReductionOp


class Reduction(Layer):
    """Reduction from ``axis`` on: y = c Σ x (SUM), c Σ |x| (ASUM), c Σ x² (SUMSQ) or c Σ x / D (MEAN).

    Bottom: shape (d₀, …, d_axis−1, …), with D values from ``axis`` on. Top: (d₀, …, d_axis−1).
    Gradient: dx = c dy, c sign(x) dy, 2 c x dy, or c dy / D.

    Raises:
        CafxError: the axis does not exist.

    Source: Caffe's layer catalogue.
    """

    Parameter = ReductionParameter
    options: ReductionParameter

    @property
    def kinks(self) -> tuple[float, ...]:
        """0 for ASUM: |x| has no derivative there."""
        return (0.0,) if self.options.operation == Op.ASUM else ()

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the axes before ``axis``."""
        axis = self.axis(bottom[0], self.options.axis)
        top[0].reshape(*bottom[0].shape[:axis])
        self.rows = (bottom[0].count(0, axis), bottom[0].count(axis))
        mean = self.options.operation == Op.MEAN
        self.factor = self.options.coeff / (max(1, self.rows[1]) if mean else 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = c Σ f(x)."""
        x, operation = bottom[0].data.reshape(self.rows), self.options.operation
        if operation == Op.ASUM:
            x = abs(x)
        elif operation == Op.SUMSQ:
            x = x * x
        self.xp.multiply(x.sum(axis=1), self.factor, out=top[0].mutable_data.reshape(-1))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = c f'(x) dy."""
        if not propagate_down[0]:
            return
        x, operation = bottom[0].data.reshape(self.rows), self.options.operation
        dx = bottom[0].mutable_diff.reshape(self.rows)
        dx[...] = self.factor * top[0].diff.reshape(-1, 1)
        if operation == Op.ASUM:
            dx *= self.xp.sign(x)
        elif operation == Op.SUMSQ:
            dx *= 2 * x

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every operation, over all and some axes, with and without a factor."""
        from cafx.conformance import Case

        yield Case("sum", (2, 3, 4))
        yield Case("magnitudes", (2, 3, 4, 5), options={"operation": "ASUM", "axis": 2, "coeff": -0.5})
        yield Case("squares", (2, 3, 1, 2, 2), options={"operation": "SUMSQ", "axis": -1, "coeff": 0.25})
        yield Case("mean", (5,), options={"operation": "MEAN", "coeff": 3})
        yield Case("mean_of_rows", (2, 3, 4), options={"operation": "MEAN", "axis": 1})
