"""Eltwise: blobs combined elementwise."""

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
        """Elementwise operation."""

        PROD = 0
        SUM = 1
        MAX = 2

    operation: EltwiseOp = option(1, EltwiseOp, EltwiseOp.SUM, doc="PROD, SUM or MAX")
    coeff: tuple[float, ...] = option(2, "float", repeated=True, doc="SUM: one factor per bottom (default 1)")
    stable_prod_grad: bool = option(
        3, "bool", True, doc="PROD: compute gradients without division, correct where a bottom is 0"
    )


SUM, PROD = EltwiseParameter.EltwiseOp.SUM, EltwiseParameter.EltwiseOp.PROD


class Eltwise(Layer):
    """Elementwise operation: y = Σ cᵢ xᵢ (SUM), y = Π xᵢ (PROD) or y = max xᵢ (MAX).

    Bottoms: two or more of equal shape. Top: the same shape.
    Gradients: dxᵢ = cᵢ dy (SUM); dxᵢ = dy Π xⱼ, j ≠ i, or without stable_prod_grad dy · y / xᵢ (PROD);
    dxᵢ = dy for the largest bottom, else 0 (MAX). Of equal values, the second bottom precedes the first,
    and the first two precede later ones.

    Raises:
        CafxError: the bottoms' shapes differ, there is not one coeff per bottom, or coeff is set with PROD.

    Source: Caffe's layer catalogue.

    Read by engines:
        coefficients: the factors cᵢ, one per bottom.
    """

    Parameter = EltwiseParameter
    options: EltwiseParameter
    bottoms = (2, None)
    in_place_reason = (
        ": the blob it would overwrite is one of its terms (Caffe builds this, and the result ignores that bottom)"
    )

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the factors."""
        options = self.options
        if len(options.coeff) not in (0, len(bottom)):
            raise self.error("coeff needs one factor per bottom", found=len(options.coeff), expected=len(bottom))
        if options.coeff and options.operation == PROD:
            found = list(options.coeff)
            raise self.error("coeff is unsupported with PROD", found=found, expected="none, or operation: SUM")
        self.coefficients = options.coeff or (1.0,) * len(bottom)
        self.reads_tops = options.operation == PROD and not options.stable_prod_grad

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the shape of the bottoms."""
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
        self.xp.multiply(values[0], self.coefficients[0], out=y)
        for x, factor in zip(values[1:], self.coefficients[1:], strict=True):
            y += x if factor == 1 else factor * x

    def _maximum(self, values: list[Any], y: Any) -> None:
        """Write the maximum; keep the index of its bottom in `winner`."""
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
                self.xp.multiply(dy, self.coefficients[index], out=dx)
            elif operation == PROD:
                self.xp.multiply(dy, self._others(index, bottom, top[0]), out=dx)
            else:
                self.xp.multiply(dy, self.winner == index, out=dx)

    def _others(self, index: int, bottom: list[Blob], top: Blob) -> Any:
        """The product of all bottoms but the one at ``index``."""
        if not self.options.stable_prod_grad:
            return top.data / bottom[index].data
        first, *rest = (each.data for i, each in enumerate(bottom) if i != index)
        product = first
        for x in rest:
            product = product * x
        return product

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every operation, with two and more bottoms."""
        from cafx.conformance import Case, uniform

        positive = [uniform((2, 5), 0.5, 2.0)] * 3
        yield Case("sum", (2, 3, 4, 5), (2, 3, 4, 5))
        yield Case("weighted", (2, 3), (2, 3), (2, 3), options={"coeff": [1, -0.5, 2]})
        yield Case("product", (2, 3, 1, 2, 2), (2, 3, 1, 2, 2), options={"operation": "PROD"})
        yield Case("product_of_three", (7,), (7,), (7,), options={"operation": "PROD"})
        yield Case("quotient", *positive, options={"operation": "PROD", "stable_prod_grad": False})
        yield Case("maximum", (2, 3, 4), (2, 3, 4), (2, 3, 4), options={"operation": "MAX"})
