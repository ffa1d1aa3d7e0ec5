"""Log: logarithm of a linear function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option
from cafx_lib_logbase import NATURAL, log_base

if TYPE_CHECKING:
    from cafx.conformance import Case


IN_PLACE = "as in Caffe, the in-place gradient's factor overwrites the top's diff before it is used"


@message("log_param", 134)
class LogParameter(Message):
    """Options of Log."""

    base: float = option(1, "float", NATURAL, doc="base of the logarithm; -1 for e")
    scale: float = option(2, "float", 1.0, doc="factor of x inside the logarithm")
    shift: float = option(3, "float", 0.0, doc="added inside the logarithm")


class Log(NeuronLayer):
    """Logarithm: y = log_base(shift + scale · x).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy · scale / (ln base · (shift + scale · x)). In place it is wrong, as in Caffe: the
    factor of dy, evaluated at y instead of x, overwrites dy before the two are multiplied.
    y is −∞ where shift + scale · x is 0, and NaN where it is negative.

    Raises:
        CafxError: the base is 1, or neither positive nor -1.

    Source: Caffe's layer catalogue.

    Read by engines:
        log_base: the natural logarithm of the base.
    """

    Parameter = LogParameter
    options: LogParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute ln base, by which forward divides."""
        self.log_base = log_base(self)
        if not self.log_base:
            raise self.error("option 'base'", found="1", expected="a base other than 1")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = ln(shift + scale · x) / ln base."""
        y = top[0].mutable_data
        self.xp.multiply(bottom[0].data, self.options.scale, out=y)
        y += self.options.shift
        self.xp.log(y, out=y)
        y /= self.log_base

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · scale / (ln base · (shift + scale · x))."""
        if propagate_down[0]:
            dx = bottom[0].mutable_diff
            self.xp.multiply(bottom[0].data, self.options.scale, out=dx)
            dx += self.options.shift
            self.xp.divide(self.options.scale / self.log_base, dx, out=dx)
            dx *= top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Base e, and bases below and above 1, of positive values."""
        from cafx.conformance import Case, uniform

        skip = {"in-place": IN_PLACE}
        yield Case("natural", uniform((2, 3, 4, 5), 0.2, 3), skip=skip)
        yield Case("two", uniform((2, 7), 0.2, 3), options={"base": 2.0, "scale": 1.5}, skip=skip)
        yield Case("falling", uniform((5,), 0, 3), options={"base": 0.5, "shift": 0.7}, skip=skip)
        mirrored = {"base": -1.0, "scale": -2.0, "shift": 1.0}
        yield Case("mirrored", uniform((2, 3, 1), -3, 0), options=mirrored, skip=skip)
