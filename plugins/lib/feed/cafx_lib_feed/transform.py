"""What happens to each image on its way into a batch: crop, mirror, mean, scale, in that order."""

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
from cafx_lib_feed.images import cv2

Array = npt.NDArray[Any]
Failure = Callable[..., CafxError]
Shape3 = tuple[int, int, int]
MOST_LAYOUTS = 16


@functools.cache
def streaming() -> Any:
    """The module of compiled passes, or None where they cannot be made: NumPy and OpenCV do the same then."""
    try:
        from cafx_lib_feed import streaming as module

        module.kernels(1)
    except (ImportError, OSError, RuntimeError):
        return None
    return module


@attrs.frozen(eq=False)
class Draws:
    """Where each image of a batch is cut (as shares of the room there is), and which are flipped."""

    top: Sequence[float] | None = None
    left: Sequence[float] | None = None
    flip: Sequence[bool] | None = None


class Scratch(threading.local):
    """Memory of one thread, that stays in its processor's cache.

    Attributes:
        held: what images are decoded into.
        planes, flipped: one image of bytes, C×H×W, and one from right to left.
        rows, flipped_rows: the same as C·H×W.
        each_plane: the planes one by one, as OpenCV likes them.
    """

    def __init__(self) -> None:
        self.held = np.empty(0, np.uint8)
        self.shape_planes((0, 0, 0))

    def shape_planes(self, shape: Shape3) -> None:
        """Make room for images of C×H×W."""
        self.planes = np.empty(shape, np.uint8)
        self.flipped = np.empty_like(self.planes)
        self.each_plane = list(self.planes)
        rows = shape[0] * shape[1], shape[2]
        self.rows, self.flipped_rows = self.planes.reshape(rows), self.flipped.reshape(rows)

    def decoded(self, count: int) -> Array:
        """Memory for a decoded image of ``count`` bytes: until the next one."""
        if self.held.size < count:
            self.held = np.empty(count, np.uint8)
        return self.held[:count]


class Transformer:
    """The transform_param of a layer.

    What is random is drawn for a whole batch at once, and batches of small images are worked on as
    a whole. Large images go one by one straight into their places in the batch, while they lie in
    the processor's cache: in one compiled pass where it can be made, else in a few of NumPy and OpenCV.

    Args:
        options: the layer's TransformationParameter.
        phase: in TRAIN phase crops are random, else from the centre.
        error: makes the layer's errors.
        dtype: of the batches.

    Raises:
        CafxError: options that contradict each other, or a mean file that is none.
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
                raise error("mean_file and mean_value are both stated", remedy="state one of them")
            self.mean = _mean_image(options.mean_file, error).astype(dtype)

    @property
    def channels(self) -> int | None:
        """How many channels encoded images are decoded to; None for as many as they have."""
        return 3 if self.options.force_color else 1 if self.options.force_gray else None

    def shape(self, shape: Shape3, what: str = "images") -> Shape3:
        """What becomes of an image of C×H×W; CafxError where mean or crop do not fit it."""
        channels, height, width = shape
        if self.mean is not None and self.mean.shape != shape:
            raise self.error(
                f"mean_file '{self.options.mean_file}' has another shape than {what}",
                found=shape_text(self.mean.shape), expected=shape_text(shape),
            )  # fmt: skip
        if self.mean_values.size not in (0, 1, channels):
            raise self.error(
                f"mean_value does not fit the channels of {what}", found=f"{self.mean_values.size} values",
                expected=f"one, or {channels}",
            )  # fmt: skip
        if self.crop > min(height, width):
            raise self.error(
                f"crop_size is larger than {what}", found=f"crop_size {self.crop}",
                expected=f"at most {min(height, width)} for {shape_text(shape)}",
            )  # fmt: skip
        return (channels, self.crop, self.crop) if self.crop else shape

    def draw(self, rng: Callable[[], np.random.Generator], count: int) -> Draws:
        """What is random for a batch of ``count``, from the batch's own generator."""
        if not (self.random_crop or self.options.mirror):
            return Draws()
        stream = rng()
        top, left = stream.random((2, count)).tolist() if self.random_crop else (None, None)
        flip = stream.integers(0, 2, count).astype(bool).tolist() if self.options.mirror else None
        return Draws(top, left, flip)

    def batch(self, pixels: Array, out: Array, draws: Draws) -> None:
        """N×C×H×W pixels into ``out``, all at once."""
        size, (height, width) = pixels.shape[2:], out.shape[2:]
        mean = self.mean if self.mean is not None else self.mean_values.reshape(-1, 1, 1)
        if self.crop and draws.top is not None and draws.left is not None:
            rows = (np.array(draws.top) * (size[0] - height + 1)).astype(int)[:, None] + np.arange(height)
            columns = (np.array(draws.left) * (size[1] - width + 1)).astype(int)[:, None] + np.arange(width)
            chosen = (slice(None), rows[:, :, None], columns[:, None, :])
            pixels = pixels.transpose(1, 0, 2, 3)[:, np.arange(len(rows))[:, None, None], *chosen[1:]]
            pixels = pixels.transpose(1, 0, 2, 3)
            mean = mean[chosen].transpose(1, 0, 2, 3) if self.mean is not None else mean
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
        """C×H×W pixels into ``out``, as draws say for image ``index``."""
        top, left, flip = self._where(pixels.shape[1:], draws, index)
        stream = self._stream(pixels.dtype, pixels.shape, pixels.strides, out)
        if stream:
            stream(pixels, top, left, flip, out)
            return
        channels, height, width = out.shape
        window = pixels[:, top : top + height, left : left + width]
        if flip and pixels.dtype == np.uint8 and pixels.size:
            rows = pixels.reshape(-1, pixels.shape[2])[:, left : left + width]
            scratch = self._planes((channels, pixels.shape[1], width))
            cv2().flip(rows, 1, scratch.flipped_rows)
            window = scratch.flipped[:, top : top + height]
        elif flip:
            window = window[..., ::-1]
        self._finish(window, out, top, left, flip)

    def image(self, image: Array, out: Array, draws: Draws, index: int) -> None:
        """An H×W×C image into ``out`` (C×H×W)."""
        top, left, flip = self._where(image.shape, draws, index)
        rows, columns, depth = image.shape
        row, step, plane = image.strides
        stream = self._stream(image.dtype, (depth, rows, columns), (plane, row, step), out)
        if stream:
            stream(image, top, left, flip, out)
            return
        channels, height, width = out.shape
        window = image[top : top + height, left : left + width]
        scratch = self._planes(out.shape)
        planes = scratch.planes
        if channels == 1:
            planes[0] = window[:, :, 0]
        else:
            cv2().split(window, scratch.each_plane)
        if flip:
            cv2().flip(scratch.rows, 1, scratch.flipped_rows)
            planes = scratch.flipped
        self._finish(planes, out, top, left, flip)

    def decoded(self, count: int) -> Array:
        """This thread's memory for a decoded image of ``count`` bytes: until the next one."""
        return self._scratch.decoded(count)

    def _planes(self, shape: Shape3) -> Scratch:
        """This thread's memory, with room for images of ``shape``."""
        scratch = self._scratch
        if scratch.planes.shape != shape:
            scratch.shape_planes(shape)
        return scratch

    def _stream(self, dtype: np.dtype[Any], size: Shape3, strides: Shape3, out: Array) -> Any:
        """The compiled pass from images of this layout (C×H×W) to such an ``out``, or None where there is none."""
        key = dtype, size, strides, out.shape, out.strides
        streams = self._streams  # exchanged as a whole, so that threads may share it
        if key in streams:
            return streams[key]
        found = self._make_stream(dtype, size, strides, out)
        self._streams = dict([*streams.items(), (key, found)][-MOST_LAYOUTS:])
        return found

    def _make_stream(self, dtype: np.dtype[Any], size: Shape3, strides: Shape3, out: Array) -> Any:
        mean = self.mean if self.mean is not None else self.channel_means
        if dtype != np.uint8 or out.dtype != np.float32 or (self.mean is not None and self.mean.shape != size):
            return None
        module = streaming()
        if module is None or not module.Stream.fits(size, strides, out):
            return None
        return module.Stream(strides, out.shape, np.zeros((1, 1, 1), np.float32) if mean is None else mean, self.scale)

    def _where(self, size: tuple[int, ...], draws: Draws, index: int) -> tuple[int, int, bool]:
        """First row, first column and whether to flip, for an image of ``size``."""
        flip = draws.flip is not None and draws.flip[index]
        crop = self.crop
        if not crop:
            return 0, 0, flip
        rows, columns = size[0] - crop, size[1] - crop
        if draws.top is None or draws.left is None:
            return rows // 2, columns // 2, flip
        return int(draws.top[index] * (rows + 1)), int(draws.left[index] * (columns + 1)), flip

    def _finish(self, window: Array, out: Array, top: int, left: int, flip: bool) -> None:
        """Mean and scale; few large steps, as each lets go of the interpreter's lock."""
        np.copyto(out, window)
        if self.mean is not None:
            mean = self.mean[:, top : top + out.shape[1], left : left + out.shape[2]]
            np.subtract(out, mean[..., ::-1] if flip else mean, out)
        elif self.channel_means is not None:
            np.subtract(out, self.channel_means, out)
        if self.scale != 1:
            np.multiply(out, self.scale, out)


def _mean_image(path: str, error: Failure) -> Array:
    try:
        mean = read_binaryproto(path)
    except CafxError as problem:
        raise error(f"mean_file: {problem}") from None
    shape = mean.shape[1:] if mean.ndim == 4 and mean.shape[0] == 1 else mean.shape
    if len(shape) != 3:
        raise error(f"mean_file '{path}' holds no image", found=shape_text(mean.shape), expected="1×C×H×W")
    return mean.reshape(shape)
