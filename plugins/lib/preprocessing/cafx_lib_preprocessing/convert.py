"""`Converter`: images as the input of a net, as a record of preprocessing says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_lib_feed.images import cv2, resize
from cafx_lib_preprocessing.checks import ANTIALIAS
from cafx_lib_preprocessing.files import mean_array, read_mean
from cafx_lib_preprocessing.resample import resize_image

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]
COLOURS = 3
WHITE = np.float32(255)


class Converter:
    """Converts images as a record says; reads the mean once.

    Args:
        record: a `cafx_lib_preprocessing.Preprocessing` with a crop.

    Raises:
        CafxError: the mean cannot be read, or is smaller than the crop.
    """

    def __init__(self, record: Any) -> None:
        self.record = record
        self.height, self.width = record.crop
        shape = (record.depth, self.height, self.width)
        mean = record.mean
        self.mean: Array | None = None
        if mean is not None:
            self.mean = read_mean(mean, shape) if isinstance(mean, str) else mean_array(mean, shape, "the mean")
        self.scale = np.asarray(record.scale, np.float32).reshape(-1, 1, 1)
        self.scales = bool((self.scale != 1).any())

    def apply(self, image: Pixels) -> Array:
        """The net's input of one image, see `cafx_lib_preprocessing.Preprocessing.apply`."""
        crops = [self.finished(crop) for crop in self.cropped(image)]
        return crops[0][None] if len(crops) == 1 else np.stack(crops)

    def prepare(self, image: Pixels) -> Array:
        """The whole of an image as one input, whatever the record says about sizes before cropping."""
        return self.finished(self.resized(self._channels(image), (self.height, self.width)))

    def cropped(self, image: Pixels) -> Iterator[Pixels]:
        """The crops of an image, H×W×C, with pixels from 0 to 255 (floats where the image is resized smoothly)."""
        pixels = self._channels(image)
        if self.record.size or not self.record.oversample:
            pixels = self.resized(pixels, self.record.size or (self.height, self.width))
        bottom, right = pixels.shape[0] - self.height, pixels.shape[1] - self.width
        if min(bottom, right) < 0:
            found, expected = f"{pixels.shape[0]}x{pixels.shape[1]}", f"at least {self.height}x{self.width}"
            raise CafxError(
                "images are smaller than the crops",
                found=found,
                expected=f"{expected}, the net's input",
                remedy="resize them first: size of the preprocessing, or --size HxW",
            )
        corners = [(y, x) for y in (0, bottom) for x in (0, right)] if self.record.oversample else []
        crops = [pixels[y : y + self.height, x : x + self.width] for y, x in (*corners, (bottom // 2, right // 2))]
        yield from crops
        if self.record.oversample:
            yield from (crop[:, ::-1] for crop in crops)

    def finished(self, crop: Pixels) -> Array:
        """A crop in the order of channels and the layout of the net, minus the mean, times the scale."""
        ordered = crop[:, :, ::-1] if self.record.channels == "RGB" else crop
        values = np.array(ordered.transpose(2, 0, 1), np.float32, order="C")
        if self.mean is not None:
            values -= self.mean
        if self.scales:
            values *= self.scale
        return values if self.record.layout == "CHW" else np.ascontiguousarray(values.transpose(1, 2, 0))

    def resized(self, pixels: Pixels, size: tuple[int, int]) -> Pixels:
        """Pixels (H×W×C) at another height and width, as the record says."""
        if pixels.shape[:2] == size:
            return pixels
        if self.record.resize == ANTIALIAS:  # in the steps of pycaffe, for the same result to the last bit
            return resize_image(pixels, size, white=255) * WHITE
        return resize(np.ascontiguousarray(pixels), *size)

    def _channels(self, image: Pixels) -> Pixels:
        """An image (BGR, BGRA or one channel) with three channels, or with one."""
        pixels = image[:, :, None] if image.ndim == 2 else image
        if self.record.depth == 1 and pixels.shape[2] >= COLOURS:
            return np.asarray(cv2().cvtColor(np.ascontiguousarray(pixels[:, :, :COLOURS]), cv2().COLOR_BGR2GRAY))[
                :, :, None
            ]
        if self.record.depth == COLOURS and pixels.shape[2] < COLOURS:
            return np.repeat(pixels[:, :, :1], COLOURS, axis=2)
        return pixels[:, :, : self.record.depth]
