"""Flatten: consecutive axes merged into one, without a copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("flatten_param", 135)
class FlattenParameter(Message):
    """Options of Flatten."""

    axis: int = option(1, "int32", 1, doc="first axis to flatten; negative from the end")
    end_axis: int = option(2, "int32", -1, doc="last axis to flatten; negative from the end")


class Flatten(Layer):
    """Merges the axes from ``axis`` to ``end_axis``: y = x in another shape.

    Bottom: shape (d₀, …, d_axis, …, d_end, …). Top: (d₀, …, d_axis · … · d_end, …).
    Gradient: dx = dy. Top and bottom share data and diff.

    Raises:
        CafxError: an axis does not exist, or end_axis is less than axis − 1.

    Source: Caffe's layer catalogue.
    """

    Parameter = FlattenParameter
    options: FlattenParameter

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Merge the axes; the top shares the bottom's data and diff."""
        first = self.axis(bottom[0], self.options.axis)
        last = self.axis(bottom[0], self.options.end_axis)
        if last + 1 < first:
            found, expected = f"axis {first}, end_axis {last}", f"end_axis at least {first - 1}"
            raise self.error("end_axis precedes axis", found=found, expected=expected)
        shape = bottom[0].shape
        top[0].reshape(*shape[:first], bottom[0].count(first, last + 1), *shape[last + 1 :])
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No-op: data are shared."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """No-op: gradients are shared."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """All axes but the batch, all axes, and axes in the middle."""
        from cafx.conformance import Case

        yield Case("default", (2, 3, 4, 5))
        yield Case("all", (2, 3, 4), options={"axis": 0})
        yield Case("middle", (2, 3, 1, 4, 5), options={"axis": 1, "end_axis": 2})
        yield Case("from_the_end", (2, 3, 4, 5), options={"axis": -3, "end_axis": -2})
