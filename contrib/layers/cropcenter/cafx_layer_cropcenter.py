"""CropCenter: a blob without its margins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("crop_center_param")
class CropCenterParameter(Message):
    """Options of CropCenter."""

    crop_size: tuple[int, ...] = option(
        1, "uint32", repeated=True, doc="for each axis, how much is cut off at its start and again at its end"
    )


class CropCenter(Layer):
    """The middle of a blob: y[i₀, i₁, …] = x[i₀ + crop_size₀, i₁ + crop_size₁, …].

    Bottom: any shape. Top: shape (d₀ − 2 crop_size₀, d₁ − 2 crop_size₁, …).
    Gradient: dx = dy in the middle, 0 in the margins.

    Raises:
        CafxError: there is not one crop_size per axis, or nothing would be left of an axis.

    Source: a fork's layer for residual networks without padding, whose shortcuts are cropped.
    """

    Parameter = CropCenterParameter
    options: CropCenterParameter

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the middle, and check that it exists."""
        margins, shape = self.options.crop_size, bottom[0].shape
        if len(margins) != len(shape):
            found, expected = list(margins), f"{len(shape)} values, one per axis"
            raise self.error("crop_size does not match the bottom's axes", found=found, expected=expected)
        if any(margin and 2 * margin >= length for margin, length in zip(margins, shape, strict=True)):
            raise self.error("nothing is left", found=f"{shape_text(shape)}, crop_size {list(margins)}")
        self.middle = tuple(slice(margin, length - margin) for margin, length in zip(margins, shape, strict=True))
        top[0].reshape(*(part.stop - part.start for part in self.middle))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the middle of x."""
        top[0].mutable_data[...] = bottom[0].data[self.middle]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy in the middle, 0 elsewhere."""
        if propagate_down[0]:
            dx = bottom[0].mutable_diff
            dx[...] = 0
            dx[self.middle] = top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to five axes, with and without margins."""
        from cafx.conformance import Case

        yield Case("images", (2, 3, 5, 6), options={"crop_size": [0, 0, 1, 2]})
        yield Case("vector", (5,), options={"crop_size": [2]})
        yield Case("nothing_cut", (2, 3), options={"crop_size": [0, 0]})
        yield Case("five_axes", (2, 4, 1, 3, 2), options={"crop_size": [0, 1, 0, 1, 0]})
