"""Permute: the axes of a blob in another order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("permute_param", 202)
class PermuteParameter(Message):
    """Options of Permute."""

    order: tuple[int, ...] = option(
        1, "uint32", repeated=True, doc="axes of the bottom in the order of the top's; those not listed follow"
    )


class Permute(Layer):
    """Axes in another order: y[i_order₀, i_order₁, …] = x[i₀, i₁, …].

    Bottom: any shape. Top: shape (d_order₀, d_order₁, …); axes that ``order`` does not list follow in
    increasing order. If no axis changes its place, top and bottom share data and diff.
    Gradient: dx = dy with the axes in their former order.

    Raises:
        CafxError: an axis does not exist or is listed twice.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; the layer is from the SSD fork of Caffe.

    Read by engines:
        order: all axes of the bottom in the order of the top's.
        shares: whether top and bottom share data and diff.
    """

    Parameter = PermuteParameter
    options: PermuteParameter

    def listed(self, bottom: Blob) -> tuple[int, ...]:
        """The first axes of the top, as axes of the bottom."""
        return self.options.order

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Complete the order; the top has the bottom's lengths in that order."""
        listed, axes = self.listed(bottom[0]), range(bottom[0].num_axes)
        if len(set(listed)) < len(listed) or not set(listed) <= set(axes):
            found, expected = list(listed), f"different axes below {len(axes)}"
            raise self.error("the order of the axes is not valid", found=found, expected=expected)
        self.order = (*listed, *(axis for axis in axes if axis not in listed))
        self.inverse = tuple(self.order.index(axis) for axis in axes)
        self.shares = self.order == tuple(axes)
        top[0].reshape(*(bottom[0].shape[axis] for axis in self.order))
        if self.shares:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x, transposed; no-op if data are shared."""
        if not self.shares:
            top[0].mutable_data[...] = bottom[0].data.transpose(self.order)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy, transposed back; no-op if gradients are shared."""
        if propagate_down[0] and not self.shares:
            bottom[0].mutable_diff[...] = top[0].diff.transpose(self.inverse)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Complete and incomplete orders, and one that changes nothing; one to five axes."""
        from cafx.conformance import Case

        yield Case("channels_last", (2, 3, 4, 5), options={"order": [0, 2, 3, 1]})
        yield Case("incomplete", (2, 3, 4), options={"order": [2]})
        yield Case("identity", (2, 3, 4, 5), options={"order": [0, 1]})
        yield Case("default", (5,))
        yield Case("five_axes", (2, 3, 1, 2, 4), options={"order": [4, 1, 0, 2, 3]})
