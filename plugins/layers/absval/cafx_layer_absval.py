"""AbsVal: the absolute value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, NeuronLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


class AbsVal(NeuronLayer):
    """Absolute value: y = |x|.

    Bottom: any shape. Top: the same shape; not in place, since backward needs the signs of x.
    Gradient: dx = dy · sign(x), 0 at 0.

    Source: Caffe's layer catalogue.
    """

    in_place = False
    kinks = (0.0,)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = |x|."""
        self.xp.absolute(bottom[0].data, out=top[0].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · sign(x)."""
        if propagate_down[0]:
            signs = self.xp.sign(bottom[0].data)
            self.xp.multiply(top[0].diff, signs, out=bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to five axes."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("one_axis", (7,))
        yield Case("five_axes", (2, 3, 1, 2, 2))
