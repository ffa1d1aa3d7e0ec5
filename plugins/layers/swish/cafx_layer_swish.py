"""Swish: self-gated sigmoid unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("swish_param", 147)
class SwishParameter(Message):
    """Options of Swish."""

    beta: float = option(1, "float", 1.0, doc="slope of the gate")


class Swish(NeuronLayer):
    """Swish: y = x · σ(beta · x), σ(z) = 1 / (1 + e⁻ᶻ).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy · (beta · y + σ(beta · x) · (1 − beta · y)).

    Source: Ramachandran, Zoph and Le, "Searching for Activation Functions", 2017.
    """

    Parameter = SwishParameter
    options: SwishParameter
    reads_tops = True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x · gate; the gate is kept for backward."""
        x = bottom[0].data
        self.gate = self.xp.tanh(x * (0.5 * self.options.beta))
        self.gate *= 0.5
        self.gate += 0.5
        self.xp.multiply(x, self.gate, out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · (gate + beta · y · (1 − gate))."""
        if propagate_down[0]:
            slope = self.gate + self.options.beta * top[0].data * (1 - self.gate)
            self.xp.multiply(top[0].diff, slope, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Positive, zero and negative beta."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("steep", (2, 7), options={"beta": 3.0})
        yield Case("falling", (5,), options={"beta": -0.7})
        yield Case("half", (2, 3, 1, 2, 2), options={"beta": 0.0})
