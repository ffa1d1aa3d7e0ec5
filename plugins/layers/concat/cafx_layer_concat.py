"""Concat: blobs concatenated along an axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("concat_param", 104)
class ConcatParameter(Message):
    """Options of Concat."""

    axis: int = option(2, "int32", 1, doc="axis of concatenation; negative from the end")
    concat_dim: int = option(1, "uint32", 1, doc="older name of axis; excludes it")


class Concat(Layer):
    """Concatenation along one axis: y = (x₁ | x₂ | … | xₖ).

    Bottoms: one or more, of equal shapes except for their lengths n₁, n₂, … along ``axis``.
    Top: the same shape with length n₁ + n₂ + … along ``axis``. A single bottom shares memory with the top.
    Gradient: dxᵢ = the corresponding slice of dy.

    Raises:
        CafxError: both axis and concat_dim are set, the axis does not exist, or other lengths differ.

    Source: Caffe's layer catalogue.

    Read by engines:
        concat_axis: index of the axis of concatenation, from 0.
    """

    Parameter = ConcatParameter
    options: ConcatParameter
    bottoms = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the axis is given once."""
        if self.options.has("axis") and self.options.has("concat_dim"):
            raise self.error("the axis is given twice", found="axis and concat_dim", expected="axis alone")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Sum the lengths along the axis, and compute each bottom's slice of the top."""
        old = self.options.has("concat_dim")
        axis = self.concat_axis = self.axis(bottom[0], self.options.concat_dim if old else self.options.axis)
        shape = list(bottom[0].shape)
        shape[axis] = 0
        self.slices = []
        for each in bottom:
            self._check_shape(each, bottom[0])
            start = shape[axis]
            shape[axis] += each.shape[axis]
            self.slices.append((slice(None),) * axis + (slice(start, shape[axis]),))
        top[0].reshape(*shape)
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _check_shape(self, blob: Blob, first: Blob) -> None:
        matches = blob.num_axes == first.num_axes and all(
            axis == self.concat_axis or length == first.shape[axis] for axis, length in enumerate(blob.shape)
        )
        if not matches:
            raise self.error(
                f"shape mismatch between bottom '{blob.name}' and the first",
                found=f"{shape_text(blob.shape)} and {shape_text(first.shape)}",
                expected=f"equal lengths along all axes but {self.concat_axis}",
            )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy each bottom to its slice of the top."""
        if len(bottom) > 1:
            y = top[0].mutable_data
            for each, part in zip(bottom, self.slices, strict=True):
                y[part] = each.data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy each slice of the top's gradient to its bottom."""
        if len(bottom) > 1:
            dy = top[0].diff
            for each, part, needed in zip(bottom, self.slices, propagate_down, strict=True):
                if needed:
                    each.mutable_diff[...] = dy[part]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Along channels, the last axis and concat_dim; a single bottom."""
        from cafx.conformance import Case

        yield Case("channels", (2, 3, 4, 5), (2, 1, 4, 5))
        yield Case("last_axis", (2, 3, 1), (2, 3, 4), (2, 3, 2), options={"axis": -1})
        yield Case("old_name", (2, 3), (4, 3), options={"concat_dim": 0})
        yield Case("one_bottom", (2, 3, 2))
