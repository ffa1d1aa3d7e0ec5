"""Interp: bilinear or nearest interpolation with corners aligned."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_lib_interpolation import Matrix, SeparableLayer, weights

if TYPE_CHECKING:
    from cafx.conformance import Case

log = logging.getLogger("cafx.net")


def _not_positive(value: int) -> str | None:
    return None if value <= 0 else "0, or less than 0 to crop"


@message("interp_param")
class InterpParameter(Message):
    """Options of Interp."""

    class Mode(IntEnum):
        """Between two neighbours; the nearest one, of the first plane as jolibrain's Caffe does it, or of all."""

        LINEAR = 1
        NEAREST = 3
        NEAREST_OF_ALL = 100_000

    height: int = option(1, "int32", 0, doc="height of the top")
    width: int = option(2, "int32", 0, doc="width of the top")
    zoom_factor: int = option(3, "int32", 1, doc="pixels of the top per pixel of the bottom")
    shrink_factor: int = option(4, "int32", 1, doc="pixels of the bottom per pixel of the top")
    pad_beg: int = option(5, "int32", 0, doc="minus the rows and columns cropped top and left", check=_not_positive)
    pad_end: int = option(6, "int32", 0, doc="minus those cropped bottom and right", check=_not_positive)
    mode: Mode = option(7, Mode, Mode.LINEAR, doc="LINEAR, NEAREST or NEAREST_OF_ALL")


class Interp(SeparableLayer):
    """Interpolation with corners aligned: pixel i of the top lies at p = i (n − 1) / (m − 1) of the bottom.

    LINEAR: y = (1 − f) x[⌊p⌋] + f x[⌊p⌋ + 1], f = p − ⌊p⌋, along rows and columns; NEAREST_OF_ALL: y = x[⌊p + ½⌋].
    NEAREST is the same for the first plane; all others are 0 if the size changes, as jolibrain's Caffe computes it
    on the CPU, and there is a warning. p is computed in float32, and is 0 where m is 1.
    Bottom: N×C×H×W, of which −``pad_beg`` rows and columns are cropped at the top and left and −``pad_end`` at the
    bottom and right: n×n' are left. Top: N×C×m×m', where m = ⌊(n − 1) / shrink⌋ + 1 if only ``shrink_factor`` is
    set, n + (n − 1)(zoom − 1) if only ``zoom_factor`` is; else ``height`` and ``width``; else both factors, first
    shrink, then zoom.
    Gradient: the transposed interpolation, 0 where the bottom is cropped. A value that is not finite affects its
    whole plane.

    Raises:
        CafxError: the bottom does not have four axes, the options do not determine a size, a factor is not
            positive, or nothing is left of the image.

    Source: Chen et al., DeepLab, 2015; Zhao et al., PSPNet, 2017; NEAREST: jolibrain's Caffe.

    Read by engines:
        rows: the matrix along columns of pixels, with at most two neighbouring weights per row.
        columns: the same along rows.
        crop: rows and columns left out at the beginning and at the end.
    """

    Parameter = InterpParameter
    options: InterpParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options that determine the size."""
        options = self.options
        self.crop = (-options.pad_beg, -options.pad_end)
        self.shrinks, self.zooms = options.has("shrink_factor"), options.has("zoom_factor")
        self.sized = options.has("height") and options.has("width")
        self.first_only = options.mode == InterpParameter.Mode.NEAREST
        if self.first_only:
            self.as_written = "mode NEAREST"
            log.warning("%s: NEAREST computes the first plane only; mode: NEAREST_OF_ALL computes all", self.where)
        for field in ("shrink_factor", "zoom_factor"):
            if getattr(options, field) < 1:
                raise self.error(f"{field} is not positive", found=getattr(options, field), expected="at least 1")
        if not (self.shrinks or self.zooms or self.sized):
            raise self.error(
                "the size of the top is not set",
                expected="height and width, zoom_factor or shrink_factor",
                remedy="interp_param { height: … width: … }",
            )

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """By one factor; else by height and width; else by both factors."""
        if self.sized and self.shrinks == self.zooms:
            return self.options.height, self.options.width
        return self._scaled(height), self._scaled(width)

    def _scaled(self, size: int) -> int:
        size = (size - 1) // self.options.shrink_factor + 1
        return size + (size - 1) * (self.options.zoom_factor - 1)

    def matrix(self, inputs: int, outputs: int) -> Matrix:
        """Weights of the neighbours of every pixel of the top."""
        ratio = np.float32(inputs - 1) / np.float32(outputs - 1) if outputs > 1 else np.float32(0)
        position = ratio * np.arange(outputs, dtype=np.float32)
        if self.options.mode != InterpParameter.Mode.LINEAR:
            position = np.floor(position.astype(np.float64) + 0.5)
        first = np.minimum(position.astype(np.int64), inputs - 1)
        return weights(inputs, first, np.where(first < inputs - 1, position - first, 0))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the interpolated planes; with NEAREST the first one only, if the size changes."""
        super().forward(bottom, top)
        if self.first_only and self._resizes():
            top[0].mutable_data.reshape(-1, *top[0].shape[2:])[1:] = 0

    def _resizes(self) -> bool:
        return any(each.shape[0] != each.shape[1] for each in (self.rows, self.columns))

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every way to set the size, up and down, cropped, one row or pixel, both modes."""
        from cafx.conformance import Case

        def case(name: str, shape: tuple[int, ...], **options: Any) -> Case:
            return Case(name, shape, options=options)

        yield case("larger", (2, 3, 4, 5), height=7, width=9)
        yield case("smaller", (2, 2, 9, 8), height=4, width=3)
        yield case("zoom", (2, 2, 3, 4), zoom_factor=2, height=9, width=9)
        yield case("shrink", (1, 2, 8, 9), shrink_factor=3, height=5, width=5)
        yield case("both_factors", (2, 1, 9, 7), shrink_factor=4, zoom_factor=3)
        yield case("all", (2, 1, 9, 7), shrink_factor=4, zoom_factor=3, height=2, width=8)
        yield case("cropped", (2, 2, 6, 7), height=4, width=9, pad_beg=-1, pad_end=-2)
        yield case("one_pixel", (2, 3, 5, 4), height=1, width=1)
        yield case("from_a_row", (1, 2, 1, 6), height=3, width=11)
        yield case("nearest", (2, 2, 3, 7), height=6, width=4, mode="NEAREST_OF_ALL", pad_beg=-1)
        yield case("nearest_of_one", (1, 1, 3, 7), height=6, width=4, mode="NEAREST", pad_beg=-1)
