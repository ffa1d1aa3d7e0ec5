"""Images resized, padded and degraded as SSD's resize_param and noise_param say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_lib_feed.images import cv2

Image = npt.NDArray[Any]
F = np.float32
CLIP_LIMIT = 4
KERNEL, SIGMA = (7, 7), 1.5
POSTERIZE = 64


def with_channels(image: Image) -> Image:
    """The image as H×W×C, as OpenCV drops a single channel."""
    return image if image.ndim == 3 else image[:, :, None]


def fitted(options: Any, height: int, width: int) -> tuple[int, int]:
    """Height and width of an image after resizing, without padding."""
    mode = options.resize_mode.name
    if mode == "WARP":
        return options.height, options.width
    aspect, target = F(width) / F(height), F(options.width) / F(options.height)
    by_width = aspect > target if mode == "FIT_LARGE_SIZE_AND_PAD" else aspect < target
    if by_width:
        return max(1, int(F(options.width) / aspect)), options.width
    return options.height, max(1, int(aspect * F(options.height)))


def final_size(options: Any, height: int, width: int) -> tuple[int, int]:
    """Height and width of an image after resizing and padding."""
    padded = options.resize_mode.name == "FIT_LARGE_SIZE_AND_PAD"
    return (options.height, options.width) if padded else fitted(options, height, width)


def resize(image: Image, options: Any, interpolation: str = "LINEAR") -> Image:
    """Resize an H×W×C image, and pad it where the mode says so.

    Args:
        image: the image.
        options: the resize_param.
        interpolation: one of the names in its interp_mode.
    """
    height, width = fitted(options, *image.shape[:2])
    resized = cv2().resize(image, (width, height), interpolation=getattr(cv2(), f"INTER_{interpolation}"))
    if options.resize_mode.name != "FIT_LARGE_SIZE_AND_PAD":
        return with_channels(resized)
    top, left = (options.height - height) // 2, (options.width - width) // 2
    bottom, right = options.height - height - top, options.width - width - left
    border = {"CONSTANT": "CONSTANT", "MIRRORED": "REFLECT_101", "REPEAT_NEAREST": "REPLICATE"}[options.pad_mode.name]
    value = per_channel(options.pad_value, image.shape[2])
    kind = getattr(cv2(), f"BORDER_{border}")
    return with_channels(cv2().copyMakeBorder(resized, top, bottom, left, right, kind, value=value))


def per_channel(values: Any, channels: int) -> list[float]:
    """A value for each channel, from none (0), one, or one per channel.

    Raises:
        CafxError: another number of values.
    """
    given = [float(each) for each in values] or [0.0]
    if len(given) not in (1, channels):
        raise CafxError("wrong number of values", found=len(given), expected=f"1 or {channels}, one per channel")
    return given * channels if len(given) == 1 else given


def add_noise(image: Image, options: Any, rng: np.random.Generator) -> Image:
    """Apply the effects of a noise_param, in a fixed order, to an H×W×C image of 8 bits.

    Args:
        image: the image.
        options: the noise_param.
        rng: for the pixels of saltpepper.

    Returns:
        uint8 pixels; float32 with convert_to_lab.
    """
    module, color = cv2(), image.shape[2] > 1
    if options.decolorize and color:
        image = module.cvtColor(module.cvtColor(image, module.COLOR_BGR2GRAY), module.COLOR_GRAY2BGR)
    if options.gauss_blur:
        image = module.GaussianBlur(image, KERNEL, SIGMA)
    if options.hist_eq:
        image = _on_luminance(with_channels(image), module.equalizeHist)
    if options.clahe:
        image = _on_luminance(with_channels(image), module.createCLAHE(clipLimit=CLIP_LIMIT).apply)
    if options.jpeg > 0:
        _, data = module.imencode(".jpg", image, [module.IMWRITE_JPEG_QUALITY, int(options.jpeg)])
        image = module.imdecode(data, module.IMREAD_COLOR if color else module.IMREAD_GRAYSCALE)
    if options.erode:
        image = module.erode(image, module.getStructuringElement(module.MORPH_ELLIPSE, (3, 3)))
    if options.posterize:
        image = image // POSTERIZE * POSTERIZE + POSTERIZE // 2
    if options.inverse:
        image = 255 - image
    image = with_channels(image)
    if options.saltpepper:
        image = salt_and_pepper(image, options.saltpepper_param, rng)
    if options.convert_to_hsv:
        image = module.cvtColor(image, module.COLOR_BGR2HSV)
    if options.convert_to_lab:
        image = module.cvtColor(image.astype(F) * F(1 / 255), module.COLOR_BGR2Lab)
    return image


def salt_and_pepper(image: Image, options: Any, rng: np.random.Generator) -> Image:
    """A copy of the image in which random pixels have the value of a saltpepper_param."""
    height, width, channels = image.shape
    count = int(options.fraction * height * width)
    noisy = image.copy()
    rows, columns = rng.integers(height, size=count), rng.integers(width, size=count)
    noisy[rows, columns] = np.array(per_channel(options.value, channels)).astype(np.uint8)
    return noisy


def _on_luminance(image: Image, effect: Any) -> Image:
    """Apply an effect to a grey image, or to the luminance of a coloured one."""
    if image.shape[2] == 1:
        return with_channels(effect(np.ascontiguousarray(image[:, :, 0])))
    converted = cv2().cvtColor(image, cv2().COLOR_BGR2YCrCb)
    converted[:, :, 0] = effect(np.ascontiguousarray(converted[:, :, 0]))
    restored: Image = cv2().cvtColor(converted, cv2().COLOR_YCrCb2BGR)
    return restored
