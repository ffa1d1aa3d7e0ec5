"""Exp: exponential of a linear function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option
from cafx_lib_logbase import NATURAL, log_base

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("exp_param", 111)
class ExpParameter(Message):
    """Options of Exp."""

    base: float = option(1, "float", NATURAL, doc="base of the power; -1 for e")
    scale: float = option(2, "float", 1.0, doc="factor of x in the exponent")
    shift: float = option(3, "float", 0.0, doc="added to the exponent")


class Exp(NeuronLayer):
    """Exponential: y = base^(shift + scale · x).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy · y · scale · ln base, computed from the top alone.

    Raises:
        CafxError: the base is neither positive nor -1.

    Source: Caffe's layer catalogue.

    Read by engines:
        slope: the factor of x in y = e^(slope · x + offset).
        offset: what is added to it.
    """

    Parameter = ExpParameter
    options: ExpParameter
    reads_tops = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Rewrite base, scale and shift as y = e^(slope · x + offset)."""
        self.slope = self.options.scale * log_base(self)
        self.offset = self.options.shift * log_base(self)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = e^(slope · x + offset)."""
        y = top[0].mutable_data
        self.xp.multiply(bottom[0].data, self.slope, out=y)
        y += self.offset
        self.xp.exp(y, out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · y · slope."""
        if propagate_down[0]:
            self.xp.multiply(top[0].diff, self.slope * top[0].data, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Base e, and bases below and above 1."""
        from cafx.conformance import Case

        yield Case("natural", (2, 3, 4, 5))
        yield Case("two", (2, 7), options={"base": 2.0, "scale": 1.5})
        yield Case("falling", (5,), options={"base": 0.5, "shift": 0.7})
        yield Case("shifted", (2, 3, 1, 2, 2), options={"base": -1.0, "scale": -0.5, "shift": 1.0})
