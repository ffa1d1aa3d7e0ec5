"""Slice: a blob split along an axis."""

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

    axis: int = option(3, "int32", 1, doc="axis to split; negative from the end")
    slice_point: tuple[int, ...] = option(
        2, "uint32", repeated=True, doc="start of each top but the first (default: equal parts)"
    )
    slice_dim: int = option(1, "uint32", 1, doc="older name of axis; excludes it")


class Slice(Layer):
    """Splits the bottom along one axis: (y₁ | y₂ | … | yₖ) = x.

    Bottom: any shape, with length n along ``axis``. Tops: one or more, of the bottom's shape except along
    ``axis``, where each has length n / k or extends from one slice point to the next. A single top shares
    memory with the bottom.
    Gradient: dx = the concatenation of the dyᵢ.

    Raises:
        CafxError: both axis and slice_dim are set, the axis does not exist, n is not divisible by k, or the
            slice points are too few, too many, not increasing or beyond the end.

    Source: Caffe's layer catalogue.
    """

    Parameter = SliceParameter
    options: SliceParameter
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check what does not depend on shapes."""
        options = self.options
        if options.has("axis") and options.has("slice_dim"):
            raise self.error("the axis is given twice", found="axis and slice_dim", expected="axis alone")
        points = options.slice_point
        if points and len(points) != len(top) - 1:
            raise self.error("wrong number of slice points", found=len(points), expected=len(top) - 1)
        if any(after <= before for before, after in pairwise((0, *points))):
            found = ", ".join(map(str, points))
            raise self.error(
                "slice_point must increase", found=found, expected="each larger than the one before, from 1"
            )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute each top's slice of the bottom."""
        old = self.options.has("slice_dim")
        axis = self.axis(bottom[0], self.options.slice_dim if old else self.options.axis)
        shape = bottom[0].shape
        bounds = (0, *self._points(shape[axis], len(top)), shape[axis])
        self.slices = [(slice(None),) * axis + (slice(*each),) for each in pairwise(bounds)]
        for each, (start, stop) in zip(top, pairwise(bounds), strict=True):
            each.reshape(*shape[:axis], stop - start, *shape[axis + 1 :])
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _points(self, length: int, count: int) -> tuple[int, ...]:
        points = self.options.slice_point
        if points:
            if points[-1] > length:
                raise self.error("slice_point is beyond the end", found=points[-1], expected=f"at most {length}")
            return points
        if length % count:
            raise self.error(
                "cannot split the axis into equal parts",
                found=f"length {length} for {count} tops",
                expected="a multiple of the number of tops",
                remedy="set slice_point",
            )
        return tuple(length // count * i for i in range(1, count))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy each slice of the bottom to its top."""
        if len(top) > 1:
            x = bottom[0].data
            for each, part in zip(top, self.slices, strict=True):
                each.mutable_data[...] = x[part]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy each top's gradient to its slice of the bottom's."""
        if propagate_down[0] and len(top) > 1:
            dx = bottom[0].mutable_diff
            for each, part in zip(top, self.slices, strict=True):
                dx[part] = each.diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Equal parts, slice points, slice_dim, and a single top."""
        from cafx.conformance import Case

        yield Case("equal", (2, 6, 3), tops=3)
        yield Case("points", (2, 3, 7), options={"axis": -1, "slice_point": [1, 5]}, tops=3)
        yield Case("old_name", (4, 3), options={"slice_dim": 0, "slice_point": [1]}, tops=2)
        yield Case("one_top", (2, 3))
