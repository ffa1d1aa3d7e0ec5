"""Transformation of images into batches: crop, subtract the mean, scale, mirror."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Phase, TransformationParameter
from cafx.kernel.blob import shape_text
from cafx_format_binaryproto import read_binaryproto
from cafx_lib_feed.images import cv2, has_opencv

Array = npt.NDArray[Any]
Failure = Callable[..., CafxError]
Shape3 = tuple[int, int, int]
MOST_LAYOUTS = 16


@functools.cache
def streaming() -> Any:
    """The module of JIT-compiled transformations, or None if unavailable; NumPy (and OpenCV) give the same results."""
    try:
        from cafx_lib_pixels import streaming as module

        module.kernels(1)
    except (ImportError, OSError, RuntimeError):
        return None
    return module


@attrs.frozen(eq=False)
class Draws:
    """The random draws for a batch, one value per image; None if nothing is drawn.

    Attributes:
        top, left: position of the crop, as a fraction of the possible positions, 0 ≤ x < 1.
        flip: whether to flip the image horizontally.
    """

    top: Sequence[float] | None = None
    left: Sequence[float] | None = None
    flip: Sequence[bool] | None = None


class Scratch(threading.local):
    """Scratch buffers of one thread, small enough to stay in the processor's cache.

    Attributes:
        buffer: memory for decoded images.
        planes, flipped: a uint8 image of shape C×H×W, and its mirror image.
        rows, flipped_rows: views of these of shape C·H×W.
        each_plane: list of the C planes, for OpenCV's split.
    """

    def __init__(self) -> None:
        self.buffer = np.empty(0, np.uint8)
        self.shape_planes((0, 0, 0))

    def shape_planes(self, shape: Shape3) -> None:
        """Allocate `planes` and `flipped` for images of shape C×H×W."""
        self.planes = np.empty(shape, np.uint8)
        self.flipped = np.empty_like(self.planes)
        self.each_plane = list(self.planes)
        rows = shape[0] * shape[1], shape[2]
        self.rows, self.flipped_rows = self.planes.reshape(rows), self.flipped.reshape(rows)

    def decoded(self, count: int) -> Array:
        """Memory for a decoded image of ``count`` bytes, valid until the next call."""
        if self.buffer.size < count:
            self.buffer = np.empty(count, np.uint8)
        return self.buffer[:count]


class Transformer:
    """Applies a layer's transform_param: y = mirror(crop(x - mean) · scale).

    Small images are transformed as whole batches. Large images are written one at a time to their place in
    the batch, while they are in the processor's cache: in a single JIT-compiled pass if available, otherwise
    by a few calls of NumPy and OpenCV.

    Args:
        options: the TransformationParameter.
        phase: crops are random in TRAIN phase, central in TEST phase.
        error: creates an error located at the layer; takes the arguments of `CafxError`.
        dtype: type of the batches.

    Raises:
        CafxError: conflicting options, or a mean file that cannot be read.

    Source: Caffe's data transformations.
    """

    def __init__(
        self, options: TransformationParameter, phase: Phase, error: Failure, dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.options = options
        self.crop = int(options.crop_size)
        self.random_crop = self.crop > 0 and phase is Phase.TRAIN
        self.error = error
        self.scale = np.dtype(dtype).type(options.scale)
        self.mean_values = np.asarray(options.mean_value, dtype)
        self.channel_means = self.mean_values.reshape(-1, 1, 1) if self.mean_values.size else None
        self.mean: Array | None = None
        self._scratch = Scratch()
        self._streams: dict[Any, Any] = {}
        if options.force_color and options.force_gray:
            raise error("force_color and force_gray are both set", remedy="set one of them")
        if options.has("mean_file"):
            if self.mean_values.size:
                raise error("mean_file and mean_value are both set", remedy="set one of them")
            self.mean = _mean_image(options.mean_file, error).astype(dtype)

    @property
    def channels(self) -> int | None:
        """Number of channels to decode images to; None for the image's own number."""
        return 3 if self.options.force_color else 1 if self.options.force_gray else None

    def shape(self, shape: Shape3, what: str = "images") -> Shape3:
        """The shape of a transformed image.

        Args:
            shape: shape of the image, C×H×W.
            what: how errors refer to the image.

        Raises:
            CafxError: the mean or the crop does not match the shape.
        """
        channels, height, width = shape
        if self.mean is not None and self.mean.shape != shape:
            raise self.error(
                f"shape mismatch between mean_file '{self.options.mean_file}' and {what}",
                found=shape_text(self.mean.shape),
                expected=shape_text(shape),
            )
        if self.mean_values.size not in (0, 1, channels):
            raise self.error(
                f"mean_value does not match the channels of {what}",
                found=f"{self.mean_values.size} values",
                expected=f"1 or {channels}",
            )
        if self.crop > min(height, width):
            raise self.error(
                f"crop_size is larger than {what}",
                found=f"crop_size {self.crop}",
                expected=f"at most {min(height, width)} for {shape_text(shape)}",
            )
        return (channels, self.crop, self.crop) if self.crop else shape

    def draw(self, rng: Callable[[], np.random.Generator], count: int) -> Draws:
        """Draw random crops and flips.

        Args:
            rng: returns the random generator of the batch; called only if something is random.
            count: number of images.
        """
        if not (self.random_crop or self.options.mirror):
            return Draws()
        generator = rng()
        top, left = generator.random((2, count)).tolist() if self.random_crop else (None, None)
        flip = generator.integers(0, 2, count).astype(bool).tolist() if self.options.mirror else None
        return Draws(top, left, flip)

    def batch(self, pixels: Array, out: Array, draws: Draws) -> None:
        """Transform N×C×H×W ``pixels`` to ``out``, all images at once."""
        size, (height, width) = pixels.shape[2:], out.shape[2:]
        mean = self.mean if self.mean is not None else self.mean_values.reshape(-1, 1, 1)
        if self.crop and draws.top is not None and draws.left is not None:
            rows = (np.array(draws.top) * (size[0] - height + 1)).astype(int)[:, None] + np.arange(height)
            columns = (np.array(draws.left) * (size[1] - width + 1)).astype(int)[:, None] + np.arange(width)
            crops = rows[:, :, None], columns[:, None, :]
            pixels = pixels.transpose(1, 0, 2, 3)[:, np.arange(len(rows))[:, None, None], *crops]
            pixels = pixels.transpose(1, 0, 2, 3)
            mean = mean[:, *crops].transpose(1, 0, 2, 3) if self.mean is not None else mean
        elif self.crop:
            top, left = (size[0] - height) // 2, (size[1] - width) // 2
            pixels = pixels[:, :, top : top + height, left : left + width]
            mean = mean[:, top : top + height, left : left + width] if self.mean is not None else mean
        np.copyto(out, pixels)
        if mean.size:
            out -= mean
        if self.scale != 1:
            out *= self.scale
        if draws.flip is not None:
            out[draws.flip] = out[draws.flip][..., ::-1]

    def pixels(self, pixels: Array, out: Array, draws: Draws, index: int) -> None:
        """Transform C×H×W ``pixels`` to ``out``, as image number ``index`` of ``draws``."""
        top, left, flip = self._where(pixels.shape[1:], draws, index)
        stream = self._stream(pixels.dtype, pixels.shape, pixels.strides, out.shape)
        if stream and out.flags.carray:
            stream(pixels, top, left, flip, out)
            return
        channels, height, width = out.shape
        window = pixels[:, top : top + height, left : left + width]
        if flip and pixels.dtype == np.uint8 and pixels.size:
            rows = pixels.reshape(-1, pixels.shape[2])[:, left : left + width]
            scratch = self._planes((channels, pixels.shape[1], width))
            _flip(rows, scratch.flipped_rows)
            window = scratch.flipped[:, top : top + height]
        elif flip:
            window = window[..., ::-1]
        self._finish(window, out, top, left, flip)

    def image(self, image: Array, out: Array, draws: Draws, index: int) -> None:
        """Transform an H×W×C ``image`` to ``out`` (C×H×W), as image number ``index`` of ``draws``."""
        top, left, flip = self._where(image.shape, draws, index)
        rows, columns, depth = image.shape
        row, step, plane = image.strides
        stream = self._stream(image.dtype, (depth, rows, columns), (plane, row, step), out.shape)
        if stream and out.flags.carray:
            stream(image, top, left, flip, out)
            return
        channels, height, width = out.shape
        window = image[top : top + height, left : left + width]
        scratch = self._planes(out.shape)
        planes = scratch.planes
        if channels == 1:
            planes[0] = window[:, :, 0]
        else:
            _split(window, scratch)
        if flip:
            _flip(scratch.rows, scratch.flipped_rows)
            planes = scratch.flipped
        self._finish(planes, out, top, left, flip)

    def stored(self, pixels: Array, shape: Shape3, decoded: bool, whole: bool) -> Any:
        """How windows of images that are kept as bytes become floats: a `cafx_lib_pixels.streaming.Stream`.

        Args:
            pixels: an image of the batch.
            shape: that of a transformed image.
            decoded: whether images are kept as H×W×C rather than C×H×W.
            whole: whether they are kept as a whole, rather than their windows.

        Returns:
            None where there is no compiled pass for them.
        """
        size = (pixels.shape[2], *pixels.shape[:2]) if decoded else pixels.shape
        channels, height, width = size if whole else shape
        strides = (1, width * channels, channels) if decoded else (height * width, width, 1)
        return self._stream(pixels.dtype, size, strides, shape)

    def place(self, size: Shape3, draws: Draws, index: int) -> tuple[bool, int, int]:
        """Whether image number ``index`` of ``draws``, C×H×W, is mirrored, and its window's first row and column."""
        top, left, flip = self._where(size[1:], draws, index)
        return flip, top, left

    def decoded(self, count: int) -> Array:
        """This thread's memory for a decoded image of ``count`` bytes, valid until the next call."""
        return self._scratch.decoded(count)

    def _planes(self, shape: Shape3) -> Scratch:
        """This thread's scratch buffers, allocated for images of ``shape``."""
        scratch = self._scratch
        if scratch.planes.shape != shape:
            scratch.shape_planes(shape)
        return scratch

    def _stream(self, dtype: np.dtype[Any], size: Shape3, strides: Shape3, shape: Shape3) -> Any:
        """The JIT-compiled transformation for images of this layout (C×H×W), or None if unsupported; cached."""
        key = dtype, size, strides, shape
        streams = self._streams  # replaced as a whole, so that threads may share it
        if key in streams:
            return streams[key]
        stream = self._make_stream(dtype, size, strides, shape)
        self._streams = dict([*streams.items(), (key, stream)][-MOST_LAYOUTS:])
        return stream

    def _make_stream(self, dtype: np.dtype[Any], size: Shape3, strides: Shape3, shape: Shape3) -> Any:
        mean = self.mean if self.mean is not None else self.channel_means
        if dtype != np.uint8 or self.scale.dtype != np.float32 or (self.mean is not None and self.mean.shape != size):
            return None
        module = streaming()
        if module is None or not module.Stream.fits(size, strides, shape):
            return None
        return module.Stream(strides, shape, np.zeros((1, 1, 1), np.float32) if mean is None else mean, self.scale)

    def _where(self, size: tuple[int, ...], draws: Draws, index: int) -> tuple[int, int, bool]:
        """The first row and column of the crop and whether to flip, for an image of H×W pixels."""
        flip = draws.flip is not None and draws.flip[index]
        crop = self.crop
        if not crop:
            return 0, 0, flip
        rows, columns = size[0] - crop, size[1] - crop
        if draws.top is None or draws.left is None:
            return rows // 2, columns // 2, flip
        return int(draws.top[index] * (rows + 1)), int(draws.left[index] * (columns + 1)), flip

    def _finish(self, window: Array, out: Array, top: int, left: int, flip: bool) -> None:
        """Subtract the mean and scale, in few large steps, since each releases the interpreter lock."""
        np.copyto(out, window)
        if self.mean is not None:
            mean = self.mean[:, top : top + out.shape[1], left : left + out.shape[2]]
            np.subtract(out, mean[..., ::-1] if flip else mean, out)
        elif self.channel_means is not None:
            np.subtract(out, self.channel_means, out)
        if self.scale != 1:
            np.multiply(out, self.scale, out)


def _flip(rows: Array, out: Array) -> None:
    """Write rows to ``out`` from right to left, by OpenCV if it is installed: it is faster."""
    if has_opencv():
        cv2().flip(rows, 1, out)
    else:
        np.copyto(out, rows[:, ::-1])


def _split(image: Array, scratch: Scratch) -> None:
    """Write an H×W×C image to the planes of ``scratch``, by OpenCV if it is installed."""
    if has_opencv():
        cv2().split(image, scratch.each_plane)
    else:
        np.copyto(scratch.planes, image.transpose(2, 0, 1))


def _mean_image(path: str, error: Failure) -> Array:
    try:
        mean = read_binaryproto(path)
    except CafxError as problem:
        raise error(f"mean_file: {problem}") from None
    shape = mean.shape[1:] if mean.ndim == 4 and mean.shape[0] == 1 else mean.shape
    if len(shape) != 3:
        raise error(f"mean_file '{path}' is not an image", found=shape_text(mean.shape), expected="1×C×H×W")
    return mean.reshape(shape)
