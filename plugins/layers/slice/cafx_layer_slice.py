"""Slice: a blob cut into pieces along an axis."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("slice_param", 126)
class SliceParameter(Message):
    """Options of Slice."""

    axis: int = option(3, "int32", 1, doc="axis along which the bottom is cut; negative from the end")
    slice_point: tuple[int, ...] = option(
        2, "uint32", repeated=True, doc="where each top but the first begins; none for equal pieces"
    )
    slice_dim: int = option(1, "uint32", 1, doc="the axis under its old name; not together with axis")


class Slice(Layer):
    """The pieces of the bottom along one axis: (y₁ | y₂ | … | yₖ) = x.

    Bottom: any shape with a length n along ``axis``. Tops: one or more, alike but along ``axis``,
    where they have n ÷ k values each, or what lies between the slice points.
    Gradient: the tops' gradients joined; one top alone shares memory with the bottom.

    Raises:
        CafxError: both axis and slice_dim, no such axis, a length k does not divide, or slice
            points that are too few, too many, out of order or beyond the end.

    Source: Caffe's layer catalogue.
    """

    Parameter = SliceParameter
    options: SliceParameter
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check what does not depend on shapes."""
        options = self.options
        if options.has("axis") and options.has("slice_dim"):
            raise self.error("states its axis twice", found="axis and slice_dim", expected="axis alone")
        points = options.slice_point
        if points and len(points) != len(top) - 1:
            raise self.error("needs a slice_point between each two tops", found=len(points), expected=len(top) - 1)
        if any(after <= before for before, after in pairwise((0, *points))):
            found = ", ".join(map(str, points))
            raise self.error("slice_point does not rise", found=found, expected="each above the last, from 1")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Cut the axis, and note where each top's piece lies."""
        old = self.options.has("slice_dim")
        axis = self.axis(bottom[0], self.options.slice_dim if old else self.options.axis)
        shape = bottom[0].shape
        cuts = (0, *self._points(shape[axis], len(top)), shape[axis])
        self.pieces = [(slice(None),) * axis + (slice(*cut),) for cut in pairwise(cuts)]
        for each, (start, stop) in zip(top, pairwise(cuts), strict=True):
            each.reshape(*shape[:axis], stop - start, *shape[axis + 1 :])
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _points(self, length: int, count: int) -> tuple[int, ...]:
        points = self.options.slice_point
        if points:
            if points[-1] > length:
                raise self.error("slice_point lies beyond the end", found=points[-1], expected=f"at most {length}")
            return points
        if length % count:
            raise self.error(
                "cannot cut its axis into equal pieces", found=f"length {length} for {count} tops",
                expected="a multiple of the number of tops", remedy="state slice_point",
            )  # fmt: skip
        return tuple(length // count * i for i in range(1, count))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy each piece of the bottom to its top."""
        if len(top) > 1:
            x = bottom[0].data
            for each, piece in zip(top, self.pieces, strict=True):
                each.mutable_data[...] = x[piece]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy each top's gradient to its piece of the bottom's."""
        if propagate_down[0] and len(top) > 1:
            dx = bottom[0].mutable_diff
            for each, piece in zip(top, self.pieces, strict=True):
                dx[piece] = each.diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Equal pieces, stated points, the first axis under its old name, and one top alone."""
        from cafx.conformance import Case

        yield Case("equal", (2, 6, 3), tops=3)
        yield Case("points", (2, 3, 7), options={"axis": -1, "slice_point": [1, 5]}, tops=3)
        yield Case("old_name", (4, 3), options={"slice_dim": 0, "slice_point": [1]}, tops=2)
        yield Case("one_top", (2, 3))
