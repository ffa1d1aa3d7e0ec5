"""Crop: a blob cut to the size of another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("crop_param", 144)
class CropParameter(Message):
    """Options of Crop."""

    axis: int = option(1, "int32", 2, doc="first axis that is cut; negative from the end")
    offset: tuple[int, ...] = option(
        2, "uint32", repeated=True, doc="where the cut begins: one number for every axis cut, or one each; default 0"
    )


class Crop(Layer):
    """The part of the first bottom that has the second's size from ``axis`` on: y = x[…, o:o+n, …].

    Bottoms: x of any shape, and a blob of as many axes or more whose values do not matter.
    Top: x's lengths before ``axis``, the second bottom's from there on.
    Gradient: dx = dy within the cut, 0 around it; the second bottom's is 0.

    Raises:
        CafxError: no such axis, another number of offsets, or a cut that reaches beyond x.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015.
    """

    Parameter = CropParameter
    options: CropParameter
    bottoms = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the number of offsets."""
        cut = bottom[0].num_axes - self.axis(bottom[0], self.options.axis)
        if len(self.options.offset) > 1 and len(self.options.offset) != cut:
            raise self.error(
                "has another number of offsets than axes to cut",
                found=len(self.options.offset), expected=f"0, 1 or {cut}",
            )  # fmt: skip

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the cut and check that it lies within the bottom."""
        shape, size = bottom[0].shape, bottom[1].shape
        axis = self.axis(bottom[0], self.options.axis)
        offsets = self.options.offset or (0,)
        offsets = offsets if len(offsets) > 1 else offsets * (len(shape) - axis)
        size = size[: len(shape)]  # further axes are not looked at
        fits = len(size) == len(shape) and len(offsets) == len(shape) - axis
        if not fits or any(o + n > d for o, n, d in zip(offsets, size[axis:], shape[axis:], strict=True)):
            raise self.error(
                "cannot cut a piece of that size",
                found=f"{shape_text(size)} at offset {', '.join(map(str, offsets))} from axis {axis} on",
                expected=f"a piece within {shape_text(shape)}",
            )
        pieces = (slice(o, o + n) for o, n in zip(offsets, size[axis:], strict=True))
        self.cut = (slice(None),) * axis + tuple(pieces)
        top[0].reshape(*shape[:axis], *size[axis:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the cut of x."""
        top[0].mutable_data[...] = bottom[0].data[self.cut]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy within the cut, 0 elsewhere."""
        for each, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                each.mutable_diff[...] = 0
        if propagate_down[0]:
            bottom[0].mutable_diff[self.cut] = top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Height and width, one offset, an offset each, and every axis."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 6, 7), (2, 5, 4, 3))
        yield Case("one_offset", (2, 3, 6, 7), (1, 1, 4, 3), options={"offset": [2]})
        yield Case("offsets", (2, 5, 4, 3), (2, 3, 2, 3), options={"axis": 1, "offset": [1, 2, 0]})
        yield Case("from_the_end", (1, 2, 4, 4, 5), (1, 2, 4, 3, 2), options={"axis": -2, "offset": [1]})
