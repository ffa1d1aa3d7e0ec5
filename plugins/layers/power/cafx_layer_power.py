"""Power: power of a linear function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


IN_PLACE = "as in Caffe, the in-place gradient's factor overwrites the top's diff before it is used"


@message("power_param", 122)
class PowerParameter(Message):
    """Options of Power."""

    power: float = option(1, "float", 1.0, doc="exponent")
    scale: float = option(2, "float", 1.0, doc="factor of x")
    shift: float = option(3, "float", 0.0, doc="added to scale · x")


class Power(NeuronLayer):
    """Power: y = (shift + scale · x)^power.

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy · power · scale · (shift + scale · x)^(power − 1). In place it is wrong, as in Caffe:
    the factor of dy overwrites dy before the two are multiplied.
    A fractional power of a negative number is NaN; a negative power of 0 is infinite.

    Source: Caffe's layer catalogue.
    """

    Parameter = PowerParameter
    options: PowerParameter

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = (shift + scale · x)^power."""
        y = self._linear(bottom[0].data, top[0].mutable_data)
        if self.options.power != 1:
            y **= self.options.power

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · power · scale · (shift + scale · x)^(power − 1)."""
        if not propagate_down[0]:
            return
        power, dx = self.options.power, bottom[0].mutable_diff
        factor = power * self.options.scale
        if power == 1 or factor == 0:
            dx[...] = factor
        else:
            self._linear(bottom[0].data, dx)
            if power != 2:
                dx **= power - 1
            dx *= factor
        if factor:
            dx *= top[0].diff

    def _linear(self, x: Any, result: Any) -> Any:
        """shift + scale · x."""
        self.xp.multiply(x, self.options.scale, out=result)
        result += self.options.shift
        return result

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Integer, negative and fractional powers, each where it is defined."""
        from cafx.conformance import Case, uniform

        skip = {"in-place": IN_PLACE}
        yield Case("identity", (2, 3, 4, 5), skip=skip)
        yield Case("linear", (2, 3, 1, 2, 2), options={"scale": -2.0, "shift": 0.5}, skip=skip)
        yield Case("square", (3, 5), options={"power": 2.0, "shift": 0.5}, skip=skip)
        yield Case("cube", (3, 5), options={"power": 3.0, "scale": 0.7}, skip=skip)
        yield Case("root", uniform((2, 7), 0.3, 2), options={"power": 0.5, "scale": 2.0, "shift": 1.0}, skip=skip)
        yield Case("inverse", uniform((5,), 0.5, 2), options={"power": -1.0}, skip=skip)
        yield Case("one", (4, 2), options={"power": 0.0})
        yield Case("constant", (4, 2), options={"power": 2.0, "scale": 0.0, "shift": 3.0})
