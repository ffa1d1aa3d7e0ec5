"""Concat: blobs joined along an axis."""

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

    axis: int = option(2, "int32", 1, doc="axis along which the bottoms are joined; negative from the end")
    concat_dim: int = option(1, "uint32", 1, doc="the same under its old name; not together with axis")


class Concat(Layer):
    """The bottoms one after another along one axis: y = (x₁ | x₂ | … | xₖ).

    Bottoms: one or more, alike but for their length n₁, n₂, … along ``axis``.
    Top: the same shape with n₁ + n₂ + … along ``axis``.
    Gradient: each bottom gets its piece of the top's; one bottom alone shares memory with the top.

    Raises:
        CafxError: both axis and concat_dim, no such axis, or bottoms that differ elsewhere.

    Source: Caffe's layer catalogue.
    """

    Parameter = ConcatParameter
    options: ConcatParameter
    bottoms = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the axis is stated once."""
        if self.options.has("axis") and self.options.has("concat_dim"):
            raise self.error("states its axis twice", found="axis and concat_dim", expected="axis alone")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Add up the lengths along the axis, and note where each bottom's piece lies."""
        old = self.options.has("concat_dim")
        self.joined = self.axis(bottom[0], self.options.concat_dim if old else self.options.axis)
        shape = list(bottom[0].shape)
        shape[self.joined] = 0
        self.pieces = []
        for each in bottom:
            self._check_alike(each, bottom[0])
            start = shape[self.joined]
            shape[self.joined] += each.shape[self.joined]
            self.pieces.append((slice(None),) * self.joined + (slice(start, shape[self.joined]),))
        top[0].reshape(*shape)
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _check_alike(self, one: Blob, first: Blob) -> None:
        alike = one.num_axes == first.num_axes and all(
            axis == self.joined or length == first.shape[axis] for axis, length in enumerate(one.shape)
        )
        if not alike:
            raise self.error(
                f"bottom '{one.name}' does not fit the first",
                found=f"{shape_text(one.shape)} beside {shape_text(first.shape)}",
                expected=f"the same lengths but along axis {self.joined}",
            )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy each bottom to its piece of the top."""
        if len(bottom) > 1:
            y = top[0].mutable_data
            for each, piece in zip(bottom, self.pieces, strict=True):
                y[piece] = each.data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy each piece of the top's gradient to its bottom."""
        if len(bottom) > 1:
            dy = top[0].diff
            for each, piece, wanted in zip(bottom, self.pieces, propagate_down, strict=True):
                if wanted:
                    each.mutable_diff[...] = dy[piece]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Along channels, the last axis, the first under its old name, and one bottom alone."""
        from cafx.conformance import Case

        yield Case("channels", (2, 3, 4, 5), (2, 1, 4, 5))
        yield Case("last_axis", (2, 3, 1), (2, 3, 4), (2, 3, 2), options={"axis": -1})
        yield Case("old_name", (2, 3), (4, 3), options={"concat_dim": 0})
        yield Case("one_bottom", (2, 3, 2))
