"""Random distortions of colour, and images placed on a larger canvas, as SSD's distort_param and expand_param say."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_annotated.boxes import Boxes
from cafx_lib_feed.images import cv2

Image = npt.NDArray[Any]
Table = npt.NDArray[np.uint8]
LEVELS = np.arange(256, dtype=np.float32)
IDENTITY: Table = np.arange(256, dtype=np.uint8)
HUES = 180
LEAST_EXPANSION = 0.01


@attrs.frozen(eq=False)
class Distortion:
    """A change of colours, the same for all pixels.

    Attributes:
        before: new grey levels, looked up first; None to keep them.
        hue, saturation: new hues and saturations, of images of three channels; likewise.
        after: new grey levels, looked up last; likewise.
        order: new order of the channels; likewise.
    """

    before: Table | None = None
    hue: Table | None = None
    saturation: Table | None = None
    after: Table | None = None
    order: npt.NDArray[np.int64] | None = None

    def __call__(self, image: Image) -> Image:
        """Apply it to H×W×C pixels of 8 bits."""
        if self.before is not None:
            image = _look_up(image, self.before)
        if (self.saturation is not None or self.hue is not None) and image.shape[2] == 3:
            tables = [IDENTITY if each is None else each for each in (self.hue, self.saturation, None)]
            converted = cv2().cvtColor(image, cv2().COLOR_BGR2HSV)
            image = cv2().cvtColor(cv2().LUT(converted, np.stack(tables, axis=1)[None]), cv2().COLOR_HSV2BGR)
        if self.after is not None:
            image = _look_up(image, self.after)
        return image if self.order is None else image[:, :, self.order]


UNCHANGED = Distortion()


def draw_distortion(options: Any, channels: int, rng: np.random.Generator) -> Distortion:
    """Draw changes of brightness, contrast, saturation, hue and the order of channels, each with its probability.

    Contrast comes before or after saturation and hue, with equal probabilities. Hues are angles: beyond either
    end they continue at the other.

    Args:
        options: the distort_param.
        channels: number of channels of the image.
        rng: the random draws.
    """
    contrast_first = rng.random() > 0.5
    brightness, contrast = _brightness(options, rng), _factor(options, "contrast", rng)
    saturation, hue = _factor(options, "saturation", rng), _hue(options, rng)
    reorders = options.random_order_prob and rng.random() < options.random_order_prob
    order = rng.permutation(channels) if reorders else None
    if contrast_first:
        return Distortion(_composed(brightness, contrast), hue, saturation, None, order)
    return Distortion(brightness, hue, saturation, contrast, order)


def _brightness(options: Any, rng: np.random.Generator) -> Table | None:
    if not options.brightness_prob or rng.random() >= options.brightness_prob:
        return None
    delta = rng.uniform(-options.brightness_delta, options.brightness_delta)
    return _table(LEVELS + np.float32(delta))


def _factor(options: Any, name: str, rng: np.random.Generator) -> Table | None:
    probability = getattr(options, f"{name}_prob")
    if not probability or rng.random() >= probability:
        return None
    factor = rng.uniform(getattr(options, f"{name}_lower"), getattr(options, f"{name}_upper"))
    return _table(LEVELS * np.float32(factor))


def _hue(options: Any, rng: np.random.Generator) -> Table | None:
    if not options.hue_prob or rng.random() >= options.hue_prob:
        return None
    delta = rng.uniform(-options.hue_delta, options.hue_delta)
    table: Table = (np.rint(LEVELS + np.float32(delta)) % HUES).astype(np.uint8)
    return table


def _table(levels: npt.NDArray[np.float32]) -> Table:
    """Grey levels rounded and limited to 8 bits."""
    table: Table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return table


def _composed(first: Table | None, second: Table | None) -> Table | None:
    if first is None or second is None:
        return second if first is None else first
    return second[first]


def _look_up(image: Image, table: Table) -> Image:
    mapped: Image = cv2().LUT(image, table).reshape(image.shape)
    return mapped


@attrs.frozen(eq=False)
class Canvas:
    """A distorted image on a larger canvas; only the window that is cut out of it is computed.

    Attributes:
        image: H×W×C pixels.
        height, width: size of the canvas.
        top, left: place of the image.
        fill: value of the canvas, per channel.
        distortion: changes the image, not the canvas.
    """

    image: Image
    height: int
    width: int
    top: int = 0
    left: int = 0
    fill: tuple[float, ...] = ()
    distortion: Distortion = UNCHANGED

    @classmethod
    def of(cls, image: Image, distortion: Distortion = UNCHANGED) -> Canvas:
        """A canvas of the image's size."""
        return cls(image, image.shape[0], image.shape[1], distortion=distortion)

    def cut(self, top: int, left: int, height: int, width: int) -> Image:
        """The pixels of a window; without canvas in it, a view of the image."""
        y, x = top - self.top, left - self.left
        inside = self.image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        if inside.size and self.distortion is not UNCHANGED:
            inside = self.distortion(np.ascontiguousarray(inside))
        if inside.shape[:2] == (height, width):
            return inside
        window = np.empty((height, width, self.image.shape[2]), self.image.dtype)
        value = np.clip(np.rint(self.fill), 0, 255) if window.dtype == np.uint8 else self.fill
        window[:] = np.tile(np.asarray(value, window.dtype), (width, 1))  # copying rows is faster than pixels
        y, x = max(0, -y), max(0, -x)
        window[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return window

    def whole(self) -> Image:
        """All pixels."""
        return self.cut(0, 0, self.height, self.width)


def expand(canvas: Canvas, options: Any, fill: tuple[float, ...], rng: np.random.Generator) -> tuple[Canvas, Boxes]:
    """Place an image at random on a canvas up to max_expand_ratio times as high and wide.

    Args:
        canvas: the image on a canvas of its size.
        options: the expand_param.
        fill: value of the canvas, per channel.
        rng: the random draws.

    Returns:
        The canvas, and its window in units of the image, to project boxes to.
    """
    height, width = canvas.height, canvas.width
    grows = options.max_expand_ratio - 1 >= LEAST_EXPANSION and rng.random() <= options.prob
    ratio = rng.uniform(1, options.max_expand_ratio) if grows else 1.0
    high, wide = int(height * ratio), int(width * ratio)
    top, left = (int(rng.uniform(0, high - height)), int(rng.uniform(0, wide - width))) if grows else (0, 0)
    low = -left / width, -top / height
    window = np.array([*low, low[0] + wide / width, low[1] + high / height], np.float32)
    return attrs.evolve(canvas, height=high, width=wide, top=top, left=left, fill=fill), window
