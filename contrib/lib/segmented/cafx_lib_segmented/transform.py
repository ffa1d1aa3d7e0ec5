"""Joint transformation of an image and its labels: resize, pad, crop, mirror, scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import Phase, TransformationParameter
from cafx.kernel.blob import shape_text
from cafx_lib_feed.images import cv2
from cafx_lib_feed.transform import Draws, Failure, Transformer

Image = npt.NDArray[Any]
Size = tuple[int, int]
FINAL = ("scale", "mean_value", "force_color", "force_gray")
"""Options of TransformationParameter that the last step applies."""


def crop_of(error: Failure, square: int, height: int, width: int) -> Size | None:
    """Height and width of the crop, from a square's side or from both sides; 0 is none.

    Raises:
        CafxError: the square is given besides the sides, or one side alone.
    """
    if square and (height or width):
        raise error("crop_size contradicts crop_height and crop_width", remedy="set crop_size, or the other two")
    if bool(height) != bool(width):
        found = f"crop_height {height}, crop_width {width}"
        raise error("crops one side only", found=found, expected="both above 0, or neither")
    return (square, square) if square else (height, width) if height else None


def last_step(options: Any, error: Failure, dtype: npt.DTypeLike) -> Transformer:
    """The part of a transform_param that concerns pixels alone: the mean and the scale.

    Raises:
        CafxError: a mean_file, which would not fit images of several sizes.
    """
    if options.has("mean_file"):
        raise error("mean_file is not supported", found=options.mean_file, remedy="set mean_value for each channel")
    final = {name: getattr(options, name) for name in FINAL if options.has(name)}
    return Transformer(TransformationParameter(**final), Phase.TEST, error, dtype)


@attrs.frozen(eq=False)
class JointTransformer:
    """Applies the same geometry to an image and its labels; only the image is scaled: y = (x - mean) · scale.

    An image smaller than the crop is padded at its lower and right edges, with the mean, which becomes 0, and
    labels with ``padding``. Labels are resized by taking the nearest.

    Attributes:
        last: subtracts the mean and scales.
        crop: height and width of the crop, or None.
        random_crop: whether to crop at random, else at the centre.
        mirror: whether to flip half of the images horizontally.
        factors: factors, of which one resizes each image; may be empty.
        padding: label of padded pixels; None if images must not be smaller than the crop.
    """

    last: Transformer
    crop: Size | None
    random_crop: bool
    mirror: bool
    factors: Sequence[float] = ()
    padding: int | None = None

    def size(self, height: int, width: int) -> Size:
        """Height and width of the result for an image of this size that is not resized."""
        return self.crop or (height, width)

    def resized(self, image: Image, labels: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """Resize an H×W×C image and its H×W labels by one of the factors."""
        factor = self.factors[int(rng.integers(len(self.factors)))] if self.factors else 1.0
        if factor == 1:
            return image, labels
        height, width = (max(1, int(side * factor)) for side in labels.shape)
        pixels = cv2().resize(image, (width, height)).reshape(height, width, -1)
        return pixels, cv2().resize(labels, (width, height), interpolation=cv2().INTER_NEAREST)

    def write(self, image: Image, labels: Image, data: Image, out: Image, rng: np.random.Generator, what: str) -> None:
        """Crop, mirror and scale.

        Args:
            image: H×W×C pixels.
            labels: H×W labels.
            data: C×H×W, for the image.
            out: H×W, for the labels.
            rng: the random draws.
            what: how errors refer to the image.

        Raises:
            CafxError: the image is smaller than the crop, or does not match the mean.
        """
        self.last.shape((image.shape[2], *labels.shape), what)
        height, width = out.shape
        free = labels.shape[0] - height, labels.shape[1] - width
        if min(free) < 0 and self.padding is None:
            found, expected = shape_text(labels.shape), f"at least {shape_text(out.shape)}"
            raise self.last.error(f"the crop is larger than {what}", found=found, expected=expected)
        top, left = (int(rng.integers(side + 1)) if self.random_crop else side // 2 for side in np.maximum(free, 0))
        flip = self.mirror and bool(rng.integers(2))
        rows, columns = slice(top, top + height), slice(left, left + width)
        planes, window = image.transpose(2, 0, 1)[:, rows, columns], labels[rows, columns]
        if window.shape != out.shape:
            data[...] = 0
            out[...] = self.padding
        place = slice(window.shape[0]), slice(out.shape[1] - window.shape[1], None) if flip else slice(window.shape[1])
        self.last.pixels(planes, data[:, *place], Draws(flip=[flip]), 0)
        out[place] = window[:, ::-1] if flip else window
