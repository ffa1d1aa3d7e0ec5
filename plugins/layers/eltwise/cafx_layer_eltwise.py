"""Eltwise: blobs combined value by value."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("eltwise_param", 110)
class EltwiseParameter(Message):
    """Options of Eltwise."""

    class EltwiseOp(IntEnum):
        """How values are combined."""

        PROD = 0
        SUM = 1
        MAX = 2

    operation: EltwiseOp = option(1, EltwiseOp, EltwiseOp.SUM, doc="how values are combined")
    coeff: tuple[float, ...] = option(2, "float", repeated=True, doc="SUM: a factor for each bottom; none for 1 each")
    stable_prod_grad: bool = option(
        3, "bool", True, doc="PROD: multiply the other bottoms instead of dividing the top, so that 0 is right"
    )


SUM, PROD = EltwiseParameter.EltwiseOp.SUM, EltwiseParameter.EltwiseOp.PROD


class Eltwise(Layer):
    """Value by value, y = Σ cᵢ xᵢ (SUM), y = Π xᵢ (PROD) or y = max xᵢ (MAX).

    Bottoms: two or more of one shape. Top: that shape.
    Gradient: SUM dxᵢ = cᵢ dy; PROD dxᵢ = dy Π xⱼ, j ≠ i (or dy · y / xᵢ, quicker for many bottoms but
    not at 0); MAX dy for the largest bottom, 0 for the others. Of equal ones the second bottom wins
    over the first, and a later one only if it is truly larger.

    Raises:
        CafxError: bottoms of different shapes, a coeff that is not one a bottom, coeff with PROD.

    Source: Caffe's layer catalogue.
    """

    Parameter = EltwiseParameter
    options: EltwiseParameter
    bottoms = (2, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the factors."""
        options = self.options
        if len(options.coeff) not in (0, len(bottom)):
            raise self.error("coeff is stated once a bottom", found=len(options.coeff), expected=len(bottom))
        if options.coeff and options.operation == PROD:
            found = list(options.coeff)
            raise self.error("coeff has no meaning for PROD", found=found, expected="none, or SUM")
        self.coeff = options.coeff or (1.0,) * len(bottom)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottoms' common shape."""
        for each in bottom[1:]:
            self.require_shape(each, bottom[0].shape, f"bottom '{each.name}'")
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = Σ cᵢ xᵢ, Π xᵢ or max xᵢ."""
        y, operation = top[0].mutable_data, self.options.operation
        values = [each.data for each in bottom]
        if operation == SUM:
            self._sum(values, y)
        elif operation == PROD:
            self.xp.multiply(values[0], values[1], out=y)
            for x in values[2:]:
                y *= x
        else:
            self._maximum(values, y)

    def _sum(self, values: list[Any], y: Any) -> None:
        self.xp.multiply(values[0], self.coeff[0], out=y)
        for x, factor in zip(values[1:], self.coeff[1:], strict=True):
            y += x if factor == 1 else factor * x

    def _maximum(self, values: list[Any], y: Any) -> None:
        """The largest value, and in `winner` the bottom it comes from."""
        first = values[0] > values[1]
        y[...] = self.xp.where(first, values[0], values[1])
        self.winner = self.xp.where(first, 0, 1)
        for index, x in enumerate(values[2:], start=2):
            larger = x > y
            y[...] = self.xp.where(larger, x, y)
            self.winner = self.xp.where(larger, index, self.winner)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dxᵢ = cᵢ dy, dy Π xⱼ, or dy where xᵢ is the largest."""
        dy, operation = top[0].diff, self.options.operation
        for index, each in enumerate(bottom):
            if not propagate_down[index]:
                continue
            dx = each.mutable_diff
            if operation == SUM:
                self.xp.multiply(dy, self.coeff[index], out=dx)
            elif operation == PROD:
                self.xp.multiply(dy, self._others(index, bottom, top[0]), out=dx)
            else:
                self.xp.multiply(dy, self.winner == index, out=dx)

    def _others(self, index: int, bottom: list[Blob], top: Blob) -> Any:
        """The product of all bottoms but one."""
        if not self.options.stable_prod_grad:
            return top.data / bottom[index].data
        first, *rest = (each.data for i, each in enumerate(bottom) if i != index)
        product = first
        for x in rest:
            product = product * x
        return product

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each operation, with two bottoms and more."""
        from cafx.conformance import Case, uniform

        positive = [uniform((2, 5), 0.5, 2.0)] * 3
        yield Case("sum", (2, 3, 4, 5), (2, 3, 4, 5))
        yield Case("weighted", (2, 3), (2, 3), (2, 3), options={"coeff": [1, -0.5, 2]})
        yield Case("product", (2, 3, 1, 2, 2), (2, 3, 1, 2, 2), options={"operation": "PROD"})
        yield Case("product_of_three", (7,), (7,), (7,), options={"operation": "PROD"})
        yield Case("quotient", *positive, options={"operation": "PROD", "stable_prod_grad": False})
        yield Case("maximum", (2, 3, 4), (2, 3, 4), (2, 3, 4), options={"operation": "MAX"})
