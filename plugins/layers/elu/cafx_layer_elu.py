"""ELU: the exponential linear unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("elu_param", 140)
class ELUParameter(Message):
    """Options of ELU."""

    alpha: float = option(1, "float", 1.0, doc="negative of the limit for x → −∞")


class ELU(NeuronLayer):
    """Exponential linear unit: y = x where x > 0, else alpha · (eˣ − 1).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy where x > 0, else dy · (y + alpha).

    Source: Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units
    (ELUs)", 2015.
    """

    Parameter = ELUParameter
    options: ELUParameter
    reads_tops = True

    @property
    def kinks(self) -> tuple[float, ...]:
        """0, unless both branches have slope 1 there."""
        return () if self.options.alpha == 1 else (0.0,)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x or alpha · (eˣ − 1)."""
        x = bottom[0].data
        self.positive = x > 0
        below = self.xp.expm1(self.xp.minimum(x, 0))
        below *= self.options.alpha
        y = self.xp.maximum(x, 0, out=top[0].mutable_data)
        y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy or dy · (y + alpha)."""
        if propagate_down[0]:
            slope = self.xp.where(self.positive, self.positive.astype(top[0].dtype), top[0].data + self.options.alpha)
            self.xp.multiply(top[0].diff, slope, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Positive, zero and negative alpha."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("gentle", (2, 7), options={"alpha": 0.3})
        yield Case("flat", (5,), options={"alpha": 0.0})
        yield Case("falling", (2, 3, 1, 2, 2), options={"alpha": -0.5})
