"""Transformation of uint8 images to floats in one pass over memory: crop, mirror, subtract a mean, scale.

A batch is larger than the processor's caches, so its floats are written past the caches, in whole cache lines that
need not be read first. Rows may end within a cache line; such a line is assembled from the end of one row and the
start of the next.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_llvm import BYTES, FLOATS, INT, LANES, Arguments, Emitter, Value, kernel
from cafx_lib_llvm.emitter import BYTE, FLOAT_BYTES, VECTOR, VECTOR_BYTES, vector_of

Array = npt.NDArray[Any]
Function = Callable[[int, int, int, int], None]
Shape = tuple[int, int, int]
LINE, LINE_BYTES = LANES, VECTOR_BYTES
"""Floats and bytes of a cache line, which is also a vector."""
SEAM = 2 * LINE
"""Floats kept of each channel between two rows."""
MOST_CHANNELS = 16
PIXEL_STRIDES = (1, 3)
"""Bytes from pixel to pixel for which there are kernels."""
SIGNATURE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)


@attrs.frozen(kw_only=True)
class Layout(Arguments):
    """Layout of the images and the mean.

    Attributes:
        channels, height, width: shape of the result.
        source_channel, source_row: strides of the image in bytes.
        mean_channel, mean_row: strides of the mean in floats.
        scale: factor of the result.
    """

    channels: int
    height: int
    width: int
    source_channel: int
    source_row: int
    mean_channel: int
    mean_row: int
    scale: float


class Stream:
    """One pass over images of one layout: out = (window - mean) · scale, mirrored on demand.

    Each value is rounded as NumPy rounds it. Any number of threads may call it at the same time.

    Args:
        strides: strides of the image in bytes, along channels, rows and columns.
        shape: shape of the results, C×H×W.
        mean: float32 of shape C×1×1, 1×1×1 or that of the image, of which the part under the window is
            subtracted.
        scale: a factor.

    Attributes:
        strides: those of the images.
        shape: that of the results.
        mean: float32 of shape C×1×W, or that of the image.
        mean_strides: from value to value of it along channels, rows and columns; 0 for rows and columns that have
            the same mean.
        scale: the factor.
    """

    def __init__(self, strides: Shape, shape: Shape, mean: Array, scale: float) -> None:
        self.shape = shape
        self.strides = channel_stride, row_stride, pixel_stride = strides
        self.kernels = kernels(pixel_stride)
        is_image = mean.shape[2] > 1
        self.mean = np.ascontiguousarray(mean if is_image else np.broadcast_to(mean, (shape[0], 1, shape[2])))
        self.mean_address = self.mean.ctypes.data
        channel, row, pixel = (step // FLOAT_BYTES for step in self.mean.strides)
        self.mean_strides = (channel, row, pixel) if is_image else (channel, 0, 0)
        channels, height, width = shape
        layout = Layout(
            channels=channels,
            height=height,
            width=width,
            source_channel=channel_stride,
            source_row=row_stride,
            mean_channel=channel,
            mean_row=self.mean_strides[1],
            scale=scale,
        )
        self.scale = scale
        self.layout = layout.pack()
        self.layout_address = self.layout.ctypes.data

    @staticmethod
    def fits(size: Shape, strides: Shape, shape: Shape) -> bool:
        """Whether windows of ``shape`` can be transformed, of images of ``size``; rows must fill a cache line.

        Args:
            size: shape of the images, C×H×W.
            strides: strides of the images in bytes, in this order.
            shape: shape of the results, C×H×W.
        """
        channels, height, width = shape
        inside = channels == size[0] and 1 <= height <= size[1] and LINE <= width <= size[2]
        has_kernel = 1 <= channels <= MOST_CHANNELS and strides[2] in PIXEL_STRIDES
        return inside and has_kernel and min(strides) > 0

    def __call__(self, image: Array, top: int, left: int, flip: bool, out: Array) -> None:
        """Write the window of ``image`` at ``top`` and ``left`` to ``out``, row-major float32 of the right shape."""
        _, row, pixel = self.strides
        self.run(_address(image) + top * row + left * pixel, top, left, flip, _address(out))

    def run(self, window: int, top: int, left: int, flip: bool, out: int) -> None:
        """Transform a window that has been found already.

        Args:
            window: address of its first pixel.
            top, left: where it lies in the mean image.
            flip: whether it is mirrored.
            out: address of the result.
        """
        _, row, pixel = self.mean_strides
        mean = self.mean_address + FLOAT_BYTES * (top * row + left * pixel)
        self.kernels[flip](self.layout_address, out, window, mean)


def _address(array: Array) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # three times as fast as array.ctypes
    except (TypeError, ValueError):  # read-only or not contiguous
        return int(array.ctypes.data)


def kernels(pixel_stride: int) -> tuple[Function, Function]:
    """The compiled passes, straight and mirrored; they release the interpreter lock."""
    straight, mirrored = (convert(pixel_stride, flip) for flip in (False, True))
    return SIGNATURE(straight.address), SIGNATURE(mirrored.address)


@kernel(Layout, FLOATS, BYTES, FLOATS)
def convert(e: Emitter, pixel_stride: int, flip: bool) -> None:
    """`Stream` as a kernel ``void(Layout *, float *out, byte *source, float *mean)``.

    Vectors may start anywhere in a row but do not extend beyond it.
    """
    rows = _Rows(e, pixel_stride, flip)
    with e.loop(e.arguments.height) as row, e.loop(e.arguments.channels) as channel:
        rows.convert(row.index, channel.index)
    with e.loop(e.arguments.channels) as channel:
        rows.end(channel.index)
    e.builder.fence("seq_cst")


class _Rows:
    """Code emitted by `convert`."""

    def __init__(self, e: Emitter, pixel_stride: int, flip: bool) -> None:
        self.e, self.pixel_stride, self.flip = e, pixel_stride, flip
        self.layout = e.arguments
        self.out, self.source, self.mean = e.parameters
        self.seams = e.allocate(SEAM * MOST_CHANNELS // LANES)

    def convert(self, row: Value, channel: Value) -> None:
        """Write the whole cache lines of a row, and the line it shares with the previous row."""
        e, b, layout = self.e, self.e.builder, self.layout
        source = e.at(self.source, e.multiply(channel, layout.source_channel), e.multiply(row, layout.source_row))
        mean = e.at(self.mean, e.multiply(channel, layout.mean_channel), e.multiply(row, layout.mean_row))
        out = e.at(self.out, e.multiply(e.add(e.multiply(channel, layout.height), row), layout.width))
        first = self.floats_to_line(out)
        e.store(self.values(source, mean, INT(0)), self.seam(channel, INT(LINE)))
        with e.if_else(b.icmp_signed("==", row, INT(0))) as (then, otherwise):
            with then:
                self.copy(first, self.seam(channel, INT(LINE)), out)
            with otherwise, e.if_then(b.icmp_signed("!=", first, INT(0))):
                shared = e.load(self.seam(channel, first))
                e.stream(shared, e.at(out, b.sub(first, INT(LINE))))
        with e.loop(b.udiv(b.sub(layout.width, first), INT(LINE)), may_be_empty=True) as line:
            x = e.add(first, e.multiply(line.index, LINE))
            e.stream(self.values(source, mean, x), e.at(out, x))
        e.store(self.values(source, mean, b.sub(layout.width, INT(LINE))), self.seam(channel, INT(0)))

    def end(self, channel: Value) -> None:
        """Write what follows the last whole cache line of a channel."""
        e, b, layout = self.e, self.e.builder, self.layout
        out = e.at(self.out, e.multiply(e.add(channel, 1), layout.height, layout.width))
        rest = b.and_(b.sub(INT(LINE), self.floats_to_line(out)), INT(LINE - 1))
        self.copy(rest, self.seam(channel, b.sub(INT(LINE), rest)), e.at(out, b.neg(rest)))

    def seam(self, channel: Value, offset: Value) -> Value:
        """A pointer to the last floats of a row, followed by the first ones of the next row."""
        return self.e.at(self.seams, self.e.multiply(channel, SEAM), offset)

    def copy(self, count: Value, source: Value, out: Value) -> None:
        """Copy fewer floats than a cache line."""
        e = self.e
        with e.loop(count, may_be_empty=True) as loop:
            e.builder.store(e.builder.load(e.at(source, loop.index)), e.at(out, loop.index))

    def values(self, source: Value, mean: Value, x: Value) -> Value:
        """A vector of the result's row, starting at column ``x``."""
        e, b = self.e, self.e.builder
        x = b.sub(b.sub(self.layout.width, INT(LINE)), x) if self.flip else x
        count = (LINE - 1) * self.pixel_stride + 1
        pixels = e.load_as(e.at(source, e.multiply(x, self.pixel_stride)), vector_of(BYTE, count), 1)
        pixels = e.shuffle(pixels, pixels, range(0, count, self.pixel_stride))
        centred = b.fsub(b.uitofp(pixels, VECTOR), e.load(mean, x))
        result = b.fmul(centred, e.splat(self.layout.scale))
        return e.shuffle(result, result, range(LINE - 1, -1, -1)) if self.flip else result

    def floats_to_line(self, pointer: Value) -> Value:
        """Number of floats between a pointer and the next cache line."""
        b = self.e.builder
        bytes_to_line = b.and_(b.sub(INT(0), b.ptrtoint(pointer, INT)), INT(LINE_BYTES - 1))
        return b.udiv(bytes_to_line, INT(FLOAT_BYTES))
