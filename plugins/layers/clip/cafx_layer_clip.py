"""Clip: values limited to a range."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


IN_PLACE = "as in Caffe, the in-place gradient tests the clipped values, which are all within the range"


@message("clip_param", 148)
class ClipParameter(Message):
    """Options of Clip."""

    min: float = option(1, "float", required=True, doc="lower bound")
    max: float = option(2, "float", required=True, doc="upper bound")


class Clip(NeuronLayer):
    """Clip: y = max(min, min(x, max)).

    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy where min ≤ x ≤ max, else 0. In place, the clipped values are tested instead of x, as
    in Caffe, so dx = dy everywhere.

    Raises:
        CafxError: min or max is missing, or min exceeds max.

    Source: Caffe's layer catalogue.
    """

    Parameter = ClipParameter
    options: ClipParameter

    @property
    def kinks(self) -> tuple[float, ...]:
        """The two bounds."""
        return (self.options.min, self.options.max)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bounds."""
        low, high = self.options.min, self.options.max
        if low is None or high is None:
            raise self.error("min or max is missing", expected="clip_param { min: … max: … }")
        if low > high:
            raise self.error("min exceeds max", found=f"min: {low:g}, max: {high:g}", expected="min at most max")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = max(min, min(x, max))."""
        self.xp.clip(bottom[0].data, self.options.min, self.options.max, out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy where min ≤ x ≤ max, else 0."""
        if propagate_down[0]:
            x = bottom[0].data
            inside = (x >= self.options.min) & (x <= self.options.max)
            self.xp.multiply(top[0].diff, inside, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Values within and outside the range."""
        from cafx.conformance import Case

        skip = {"in-place": IN_PLACE}
        yield Case("middle", (2, 3, 4, 5), options={"min": -0.5, "max": 1.0}, skip=skip)
        yield Case("relu1", (2, 7), options={"min": 0.0, "max": 1.0}, skip=skip)
        yield Case("all_within", (5,), options={"min": -9.0, "max": 9.0})
