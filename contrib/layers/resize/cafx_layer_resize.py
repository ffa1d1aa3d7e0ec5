"""Resize: bilinear interpolation with corners not aligned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cafx.kernel import Blob, Message, message, option, within
from cafx_lib_interpolation import Matrix, SeparableLayer, weights

if TYPE_CHECKING:
    from cafx.conformance import Case

SCALE = within(0, 1e6)


@message("resize_param")
class ResizeLayerParameter(Message):
    """Options of Resize; called ResizeParameter in the fork, as SSD's options of another kind are."""

    height: int = option(1, "uint32", 0, doc="height of the top")
    width: int = option(2, "uint32", 0, doc="width of the top")
    is_pyramid_test: bool = option(3, "bool", False, doc="scale the bottom's size by the scales")
    out_height_scale: float = option(4, "float", 0.0, doc="height of top by height of bottom", check=SCALE)
    out_width_scale: float = option(5, "float", 0.0, doc="width of top by width of bottom", check=SCALE)


class Resize(SeparableLayer):
    """Bilinear interpolation: pixel i of the top lies at p = i n / m of the bottom, n of whose pixels become m.

    y = (1 − f) x[⌊p⌋] + f x[⌊p⌋ + 1], f = p − ⌊p⌋, along rows and columns; beyond the border x is 0, so that the last
    rows and columns darken where m > n. p is computed in float32.
    Bottom: N×C×n×n'. Top: N×C×m×m': ``height`` and ``width``, or with ``is_pyramid_test`` the bottom's size times
    ``out_height_scale`` and ``out_width_scale``, rounded down.
    Gradient: the transposed interpolation. A value that is not finite affects its whole plane.

    Raises:
        CafxError: the bottom does not have four axes, or the options that determine the size are missing or give
            an empty top.

    Source: happynear's Caffe for Windows.

    Read by engines:
        rows: the matrix along columns of pixels, with at most two neighbouring weights per row.
        columns: the same along rows.
        crop: rows and columns left out at the beginning and at the end.
    """

    Parameter = ResizeLayerParameter
    options: ResizeLayerParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the options determine the size."""
        pyramid = self.options.is_pyramid_test
        needed = ("out_height_scale", "out_width_scale") if pyramid else ("height", "width")
        for field in needed:
            if not getattr(self.options, field):
                raise self.error(f"{field} is missing", expected=f"resize_param {{ {field}: … }}, more than 0")

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """As set, or by scale."""
        options = self.options
        if not options.is_pyramid_test:
            return options.height, options.width
        return _scaled(height, options.out_height_scale), _scaled(width, options.out_width_scale)

    def matrix(self, inputs: int, outputs: int) -> Matrix:
        """Weights of the neighbours of every pixel of the top."""
        position = np.float32(inputs) / np.float32(outputs) * np.arange(outputs, dtype=np.float32)
        first = np.minimum(position.astype(np.int64), inputs - 1)
        return weights(inputs, first, position - first)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Larger, smaller, to and from one pixel, and by scale."""
        from cafx.conformance import Case

        yield Case("larger", (2, 3, 4, 5), options={"height": 7, "width": 10})
        yield Case("mixed", (2, 2, 3, 9), options={"height": 8, "width": 4})
        yield Case("from_one_pixel", (2, 3, 1, 1), options={"height": 3, "width": 4})
        yield Case("to_one_pixel", (1, 3, 5, 4), options={"height": 1, "width": 1})
        scales = {"is_pyramid_test": True, "out_height_scale": 0.6, "out_width_scale": 1.45}
        yield Case("scales", (2, 2, 9, 8), options=scales)


def _scaled(size: int, scale: float) -> int:
    """In float32, as the fork computes it."""
    return int(np.float32(size) * np.float32(scale))
