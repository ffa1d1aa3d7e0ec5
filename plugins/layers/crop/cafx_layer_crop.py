"""Crop: a blob cropped to the size of another."""

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

    axis: int = option(1, "int32", 2, doc="first axis to crop; negative from the end")
    offset: tuple[int, ...] = option(
        2, "uint32", repeated=True, doc="start of the crop, one value or one per cropped axis (default 0)"
    )


class Crop(Layer):
    """The first bottom cropped to the second's size from ``axis`` on: y = x[…, o:o+n, …].

    Bottoms: x of any shape; a blob with at least as many axes, of which only the shape is read.
    Top: the lengths of x before ``axis``, those of the second bottom from there on.
    Gradient: dx = dy within the crop, 0 elsewhere; 0 for the second bottom.

    Raises:
        CafxError: the axis does not exist, the number of offsets is wrong, or the crop exceeds x.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015.
    """

    Parameter = CropParameter
    options: CropParameter
    bottoms = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the number of offsets."""
        cropped = bottom[0].num_axes - self.axis(bottom[0], self.options.axis)
        offsets = len(self.options.offset)
        if offsets > 1 and offsets != cropped:
            raise self.error("wrong number of offsets", found=offsets, expected=f"0, 1 or {cropped}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the crop and check that it lies within the first bottom."""
        shape, size = bottom[0].shape, bottom[1].shape
        axis = self.axis(bottom[0], self.options.axis)
        offsets = self.options.offset or (0,)
        offsets = offsets if len(offsets) > 1 else offsets * (len(shape) - axis)
        size = size[: len(shape)]
        fits = len(size) == len(shape) and len(offsets) == len(shape) - axis
        if not fits or any(o + n > d for o, n, d in zip(offsets, size[axis:], shape[axis:], strict=True)):
            raise self.error(
                "the crop does not fit",
                found=f"{shape_text(size)} at offset {', '.join(map(str, offsets))} from axis {axis} on",
                expected=f"a crop within {shape_text(shape)}",
            )
        slices = (slice(o, o + n) for o, n in zip(offsets, size[axis:], strict=True))
        self.crop = (slice(None),) * axis + tuple(slices)
        top[0].reshape(*shape[:axis], *size[axis:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x[crop]."""
        top[0].mutable_data[...] = bottom[0].data[self.crop]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy within the crop, 0 elsewhere."""
        for each, needed in zip(bottom, propagate_down, strict=True):
            if needed:
                each.mutable_diff[...] = 0
        if propagate_down[0]:
            bottom[0].mutable_diff[self.crop] = top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """No, one and several offsets; negative and early axes."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 6, 7), (2, 5, 4, 3))
        yield Case("one_offset", (2, 3, 6, 7), (1, 1, 4, 3), options={"offset": [2]})
        yield Case("offsets", (2, 5, 4, 3), (2, 3, 2, 3), options={"axis": 1, "offset": [1, 2, 0]})
        yield Case("from_the_end", (1, 2, 4, 4, 5), (1, 2, 4, 3, 2), options={"axis": -2, "offset": [1]})
