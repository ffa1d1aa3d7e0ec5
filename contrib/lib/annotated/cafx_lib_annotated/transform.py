"""Transformation of images together with their boxes: distort, expand, sample, resize, degrade, crop, mirror, scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Phase, TransformationParameter
from cafx_lib_annotated import images
from cafx_lib_annotated.boxes import Boxes, emitted, extrapolated, mirrored, projected, resized
from cafx_lib_annotated.distortion import UNCHANGED, Canvas, draw_distortion, expand
from cafx_lib_annotated.records import CORNERS, Rows
from cafx_lib_annotated.samplers import Jitter, Samplers
from cafx_lib_feed.transform import Draws, Failure, Transformer

Image = npt.NDArray[Any]
Shape3 = tuple[int, int, int]
FINAL = ("scale", "mirror", "mean_file", "mean_value", "force_color", "force_gray")
"""Options of TransformationParameter that the last step applies."""
FACTORS = ("contrast", "saturation")


@attrs.frozen(eq=False)
class Prepared:
    """An image on its way into a batch.

    Attributes:
        image: H×W×C pixels after all but the last step.
        top, left, height, width: the crop.
        flip: whether to flip the crop horizontally.
        rows: its annotations, see `Record`.
    """

    image: Image
    top: int
    left: int
    height: int
    width: int
    flip: bool
    rows: Rows

    @property
    def shape(self) -> Shape3:
        """Shape of the result, C×H×W."""
        return self.image.shape[2], self.height, self.width


class AnnotatedTransformer:
    """Applies transform_param with SSD's fields, and batch samplers, to images and their boxes.

    An image is distorted, placed on a larger canvas, cut by a sampler, resized, degraded by noise, cropped
    (at random in TRAIN phase, else at the centre), mirrored, and written as (x - mean) · scale. Boxes follow;
    after each cut they are clipped, and those outside are dropped, as are those that emit_constraint rejects.

    Args:
        options: the TransformationParameter with SSD's fields.
        samplers: BatchSampler options.
        phase: see above.
        error: creates an error located at the layer.
        dtype: type of the batches.
        jitter: without samplers, the largest part of a side that is cut off, see `Jitter`; None to cut nothing.

    Raises:
        CafxError: options that are not valid or contradict each other.
    """

    def __init__(
        self,
        options: Any,
        samplers: Sequence[Any],
        phase: Phase,
        error: Failure,
        dtype: npt.DTypeLike = np.float32,
        jitter: float | None = None,
    ) -> None:
        self.options, self.error = options, error
        self.random_crop = phase is Phase.TRAIN
        final = {name: getattr(options, name) for name in FINAL if options.has(name)}
        self.last = Transformer(TransformationParameter(**final), phase, error, dtype)
        self.resizes, self.degrades = options.has("resize_param"), options.has("noise_param")
        self.distorts, self.expands = options.has("distort_param"), options.has("expand_param")
        self.crop = _crop(options, error)
        _check(options, samplers, error)
        self.samplers: Samplers | Jitter = Samplers(samplers)
        if jitter is not None and not samplers:
            self.samplers = Jitter(jitter, options.resize_param.resize_mode.name == "FIT_LARGE_SIZE_AND_PAD")

    def prepare(self, image: Image, rows: Rows, rng: np.random.Generator, what: str) -> Prepared:
        """All steps but the last.

        Args:
            image: H×W×C pixels.
            rows: the annotations, see `Record`.
            rng: the random draws.
            what: how errors refer to the image.

        Raises:
            CafxError: the image is too small for the crop, or not of a kind that a step needs.
        """
        canvas, rows = self._recoloured(image, rows, rng, what)
        image, rows = self._sampled(canvas, rows, rng)
        size = image.shape[:2]
        resizing = self.resizes and _happens(self.options.resize_param, rng)
        if resizing:
            modes = self.options.resize_param.interp_mode
            mode = "LINEAR" if not modes else modes[rng.integers(len(modes)) if len(modes) > 1 else 0].name
            image = images.resize(np.ascontiguousarray(image), self.options.resize_param, mode)
        if self.degrades and _happens(self.options.noise_param, rng):
            image = self._degraded(image, rng, what)
        return self._cropped(image, rows, size if resizing else None, rng, what)

    def write(self, prepared: Prepared, out: Image) -> None:
        """The last step: write (x - mean) · scale to ``out``, C×H×W."""
        planes = prepared.image.transpose(2, 0, 1)
        rows = slice(prepared.top, prepared.top + prepared.height)
        columns = slice(prepared.left, prepared.left + prepared.width)
        if self.last.mean is None:
            self.last.pixels(planes[:, rows, columns], out, Draws(flip=[prepared.flip]), 0)
            return
        whole = np.empty(planes.shape, out.dtype)
        self.last.pixels(planes, whole, Draws(), 0)
        out[...] = whole[:, rows, columns][..., :: -1 if prepared.flip else 1]

    def shape(self, shape: Shape3) -> Shape3:
        """Shape of the result for an image of a shape (C×H×W) that samplers leave whole."""
        channels, height, width = shape
        if self.resizes:
            height, width = images.final_size(self.options.resize_param, height, width)
        return (channels, *self.crop) if self.crop else (channels, height, width)

    def _fill(self, channels: int) -> tuple[float, ...]:
        """The value of an expanded canvas: the mean of each channel, or 0."""
        if self.last.mean is not None:
            return tuple(self.last.mean.mean(axis=(1, 2)).tolist())
        return tuple(images.per_channel(self.last.mean_values, channels))

    def _recoloured(self, image: Image, rows: Rows, rng: np.random.Generator, what: str) -> tuple[Canvas, Rows]:
        """Distort and expand."""
        if image.dtype != np.uint8 and (self.distorts or self.degrades):
            found = f"{image.dtype} pixels"
            raise self.error(f"distort_param and noise_param need 8 bits: {what}", found=found, expected="uint8 pixels")
        look = draw_distortion(self.options.distort_param, image.shape[2], rng) if self.distorts else UNCHANGED
        canvas = Canvas.of(image, look)
        if not self.expands:
            return canvas, rows
        grown, window = expand(canvas, self.options.expand_param, self._fill(image.shape[2]), rng)
        same = (grown.height, grown.width) == (canvas.height, canvas.width)
        return grown, rows if same else self._cut(rows, window)

    def _degraded(self, image: Image, rng: np.random.Generator, what: str) -> Image:
        options, channels = self.options.noise_param, image.shape[2]
        if channels != 3 and (options.convert_to_hsv or options.convert_to_lab):
            raise self.error(f"noise_param converts colours: {what}", found=f"{channels} channels", expected=3)
        return images.add_noise(np.ascontiguousarray(image), options, rng)

    def _sampled(self, canvas: Canvas, rows: Rows, rng: np.random.Generator) -> tuple[Image, Rows]:
        window = self.samplers.sample(rows[:, CORNERS], rng) if self.samplers.count else None
        if window is None:
            return canvas.whole(), rows
        sides = np.array([canvas.width, canvas.height], np.float32)
        low, high = np.clip(window, np.float32(0), np.float32(1)).reshape(2, 2) * sides
        left, top = low.astype(int).tolist()
        width, height = np.maximum(high - low, 1).astype(int).tolist()
        pixels = np.array([left, top, left + width, top + height], np.float32).reshape(2, 2)
        return canvas.cut(top, left, height, width), self._cut(rows, (pixels / sides).reshape(4))

    def _cropped(
        self, image: Image, rows: Rows, resized_from: tuple[int, int] | None, rng: np.random.Generator, what: str
    ) -> Prepared:
        """Choose the crop and the flip, and transform the annotations accordingly."""
        size = image.shape[:2]
        height, width = self.crop or size
        if height > size[0] or width > size[1]:
            expected = f"at least {height}×{width}"
            raise self.error(f"the crop is larger than {what}", found=f"{size[0]}×{size[1]}", expected=expected)
        self.last.shape((image.shape[2], *size), what)
        flip = bool(self.options.mirror and rng.integers(2))
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        if self.crop and self.random_crop:
            top, left = int(rng.integers(size[0] - height + 1)), int(rng.integers(size[1] - width + 1))
        window = np.array([left, top, left + width, top + height], np.float32) / np.array([*size[::-1]] * 2, np.float32)
        if resized_from is not None:
            rows = rows.copy()
            rows[:, CORNERS] = resized(rows[:, CORNERS], self.options.resize_param, *resized_from)
        rows = self._cut(rows, window)
        if flip:
            rows[:, CORNERS] = mirrored(rows[:, CORNERS])
        if resized_from is not None:
            rows[:, CORNERS] = self._extrapolated(rows[:, CORNERS], resized_from, window, what)
        return Prepared(image, top, left, height, width, flip, rows)

    def _cut(self, rows: Rows, window: Boxes) -> Rows:
        """The annotations in a window, relative to it."""
        if not len(rows):
            return rows
        boxes, kept = projected(rows[:, CORNERS], window)
        if self.options.has("emit_constraint"):
            kept &= emitted(rows[:, CORNERS], window, self.options.emit_constraint)
        inside = rows[kept]
        inside[:, CORNERS] = boxes[kept]
        return inside

    def _extrapolated(self, boxes: Boxes, size: tuple[int, int], window: Boxes, what: str) -> Boxes:
        options = self.options.resize_param
        try:
            return extrapolated(boxes, options, *size, window)
        except ValueError as error:
            expected = f"at least {options.height_scale} and {options.width_scale} (height_scale, width_scale)"
            raise self.error(f"the crop of {what} is too small", found=str(error), expected=expected) from None


def _crop(options: Any, error: Failure) -> tuple[int, int] | None:
    """Height and width of the crop."""
    given = {name: int(getattr(options, name)) for name in ("crop_size", "crop_h", "crop_w") if getattr(options, name)}
    if "crop_size" in given and len(given) > 1:
        found = ", ".join(f"{name} {value}" for name, value in given.items())
        raise error("crop_size contradicts crop_h and crop_w", found=found, remedy="set crop_size, or the other two")
    if "crop_size" in given:
        return given["crop_size"], given["crop_size"]
    if len(given) == 1:
        raise error("crops one side only", found=", ".join(given), expected="crop_h and crop_w")
    return (given["crop_h"], given["crop_w"]) if given else None


def _happens(options: Any, rng: np.random.Generator) -> bool:
    """Whether a step with a probability happens this time; always, if the probability is unset."""
    return not options.has("prob") or options.prob >= 1 or rng.random() < options.prob


def _check(options: Any, samplers: Sequence[Any], error: Callable[..., CafxError]) -> None:
    """Check ranges that each option on its own cannot know."""
    if options.has("resize_param") and not (options.resize_param.height and options.resize_param.width):
        found = f"height {options.resize_param.height}, width {options.resize_param.width}"
        raise error("resize_param needs a height and a width", found=found, expected="both above 0")
    ranges = [(options.distort_param, f"{name}_lower", f"{name}_upper") for name in FACTORS]
    for each in samplers:
        ranges += [(each.sampler, f"min_{name}", f"max_{name}") for name in ("scale", "aspect_ratio")]
    for holder, low, high in ranges:
        if getattr(holder, low) > getattr(holder, high):
            found = f"{low} {getattr(holder, low):g}, {high} {getattr(holder, high):g}"
            raise error(f"{low} is above {high}", found=found)
    noise = options.noise_param
    if options.has("noise_param") and noise.saltpepper and not noise.saltpepper_param.value:
        raise error("saltpepper has no value", expected="saltpepper_param { fraction: … value: … }")
