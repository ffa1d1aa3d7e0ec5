"""Decoding, resizing and encoding images with the same results as OpenCV; JPEG by the faster simplejpeg.

OpenCV and simplejpeg come with the extra ``images`` of cafx, and are imported when the first image needs them.
"""

from __future__ import annotations

import functools
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, registry
from cafx.kernel.files import open_file, shown
from cafx_lib_feed.silence import silent

Image = npt.NDArray[np.uint8]
Allocate = Callable[[int], Any]
EXTRA = "cafx[images]"
OPENCV_BYTES = 400 << 20
"""Address space that importing OpenCV takes."""
LIMIT_SETTING = "CAFX_MAX_BYTES"
MOST_BYTES = 1 << 29
"""Bytes of a decoded image, at most, unless the setting says more."""
OPENCV_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
PNG_SIZE = slice(16, 24)
PNG_CHUNK = 12
"""Bytes of a chunk beside its content: length, type and checksum."""
EXIF = b"Exif\0\0"
MARKER, SEGMENT_HEADER, FRAME_FIELDS = 0xFF, 4, 6
START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
COLOR_SPACES = {1: "GRAY", 3: "BGR"}


class MissingExtra(CafxError):
    """Images are needed, and OpenCV is not installed: no fault of any one image."""


@functools.cache
def has_opencv() -> bool:
    """Whether OpenCV can be imported."""
    try:
        cv2()
    except MissingExtra:
        return False
    return True


@functools.cache
def cv2() -> Any:
    """OpenCV, imported on first use and set to a single thread, since the prefetcher uses several.

    It logs nothing, since errors are raised.

    Raises:
        MissingExtra: it is not installed.
        MemoryError: too little memory is left: OpenCV would end the process.
    """
    _reserve(OPENCV_BYTES)
    os.environ.setdefault(OPENCV_LIMIT, str(most_pixels()))
    try:
        import cv2 as module
    except ImportError as error:
        message = f"images need the extra {EXTRA} ({error})"
        raise MissingExtra(message, remedy=f"install it with: {registry().install_line(EXTRA)}") from None

    module.setNumThreads(0)
    module.utils.logging.setLogLevel(module.utils.logging.LOG_LEVEL_SILENT)
    return module


def _reserve(size: int) -> None:
    """Raise MemoryError if no ``size`` bytes of address space are left."""
    try:
        mmap.mmap(-1, size).close()
    except OSError as error:
        raise MemoryError from error


@functools.cache
def _simplejpeg() -> Any:
    """The JPEG decoder, imported on first use; None if it is not installed, and OpenCV decodes instead."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def most_pixels() -> int:
    """Pixels of an image that is decoded, at most: sizes in a header may be anything."""
    setting = os.environ.get(LIMIT_SETTING, "")
    return max(1, (int(setting) if setting.isdecimal() else MOST_BYTES) // 3)


def decode(data: memoryview | bytes, channels: int | None, what: str, allocate: Allocate | None = None) -> Image:
    """Decode an image.

    Args:
        data: content of an image file.
        channels: 1 or 3; None for the image's own number.
        what: how errors refer to the image.
        allocate: provides memory for a decoded JPEG of a number of bytes.

    Returns:
        uint8 pixels of shape H×W×C, in the order BGR.

    Raises:
        CafxError: it is not an image, is larger than the limit, or does not have 8 bits per channel.
    """
    jpeg = decode_jpeg(data, channels, allocate)
    if jpeg is not None:
        return jpeg
    _check_size(data, what)
    flag = {1: cv2().IMREAD_GRAYSCALE, 3: cv2().IMREAD_COLOR, None: cv2().IMREAD_UNCHANGED}[channels]
    try:
        with silent():
            image = cv2().imdecode(np.frombuffer(data, np.uint8), flag) if len(data) else None
    except cv2().error as error:
        if OPENCV_LIMIT.removeprefix("OPENCV_") in str(error):
            raise _too_large(what, "more") from None
        image = None
    if image is None:
        raise CafxError(
            f"image {what} cannot be decoded",
            found=f"{len(data)} bytes starting {bytes(data[:8])!r}",
            remedy="replace the image, or remove it from the list",
        )
    if image.dtype != np.uint8:
        raise CafxError(f"unsupported image {what}", found=f"{image.dtype} pixels", expected="8 bits per channel")
    shaped: Image = image if image.ndim == 3 else image[:, :, None]
    return shaped


def _check_size(data: memoryview | bytes, what: str) -> None:
    """Check the size in the header of a JPEG or PNG; OpenCV checks that of other images."""
    jpeg = _jpeg_header(data)
    height, width = (jpeg.height, jpeg.width) if jpeg else (0, 0)
    if bytes(data[: len(PNG)]) == PNG:
        width, height = np.frombuffer(bytes(data[PNG_SIZE]).ljust(8, b"\0"), ">u4").tolist()
        _check_chunks(data, what)
    if height * width > most_pixels():
        raise _too_large(what, f"{height}×{width}")


def _check_chunks(data: memoryview | bytes, what: str) -> None:
    """Check that the chunks of a PNG lie in the file: OpenCV allocates what they say, and decodes none that do not."""
    at = len(PNG)
    while at + 4 <= len(data):
        at += int.from_bytes(data[at : at + 4], "big") + PNG_CHUNK
    if at > len(data):
        raise CafxError(
            f"image {what} cannot be decoded: it is truncated", found=f"{len(data)} bytes", expected=f"at least {at}"
        )


def _too_large(what: str, found: str) -> CafxError:
    remedy = f"replace the image, or set {LIMIT_SETTING} to decode larger ones"
    return CafxError(
        f"image {what} has too many pixels", found=found, expected=f"{most_pixels()} at most", remedy=remedy
    )


def decode_jpeg(data: memoryview | bytes, channels: int | None, allocate: Allocate | None = None) -> Image | None:
    """Decode a JPEG as `decode` does; None if OpenCV has to (damaged, CMYK, rotated, no simplejpeg)."""
    header, decoder = _jpeg_header(data), _simplejpeg()
    if (
        header is None
        or decoder is None
        or (channels and header.may_rotate)
        or header.height * header.width > most_pixels()
    ):
        return None
    depth = channels or header.channels
    try:
        buffer = allocate(header.height * header.width * depth) if allocate else None
        decoded: Image = decoder.decode_jpeg(data, COLOR_SPACES[depth], buffer=buffer)
    except ValueError:
        return None
    return decoded


@attrs.frozen
class JpegHeader:
    """The fields of a JPEG's header.

    Attributes:
        height, width, channels: shape of the image.
        may_rotate: whether it has EXIF data, which may ask for a rotation.
    """

    height: int
    width: int
    channels: int
    may_rotate: bool


_last_header: tuple[bytes, JpegHeader | None] = (b"\0", None)


def _jpeg_header(data: memoryview | bytes) -> JpegHeader | None:
    """Parse a JPEG's header, or None; cached, as files written by one program mostly share their first bytes."""
    global _last_header  # replaced as a whole, so that threads may share it
    known, header = _last_header
    if bytes(data[: len(known)]) == known:  # comparing bytes is faster than comparing views
        return header
    end = _end_of_frame_fields(data)
    fields = bytes(data[end - FRAME_FIELDS : end]) if end else b""
    if len(fields) < FRAME_FIELDS or fields[-1] not in COLOR_SPACES:
        return None
    height, width = int.from_bytes(fields[-5:-3]), int.from_bytes(fields[-3:-1])
    prefix = bytes(data[:end])
    header = JpegHeader(height, width, fields[-1], EXIF in prefix)
    _last_header = prefix, header
    return header


def _end_of_frame_fields(data: memoryview | bytes) -> int:
    """The end of a JPEG's frame fields (depth, height, width, channels); 0 if there are none."""
    if bytes(data[:2]) != JPEG:
        return 0
    position = 2
    while position + SEGMENT_HEADER < len(data) and data[position] == MARKER:
        if data[position + 1] in START_OF_FRAME:
            return position + SEGMENT_HEADER + FRAME_FIELDS
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return 0


def read_bytes(path: str | Path) -> bytes:
    """The content of an image file.

    Raises:
        CafxError: the file cannot be read.
    """
    try:
        with open_file(path) as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CafxError(f"image '{shown(path)}' cannot be read: {reason}", remedy="check the list") from None


def read_image(path: str | Path, color: bool = True, height: int = 0, width: int = 0) -> Image:
    """Read and decode an image file.

    Args:
        path: the file.
        color: decode to three channels (BGR), else to one.
        height, width: size to resize to, if both are positive.

    Returns:
        uint8 pixels of shape H×W×C.

    Raises:
        CafxError: the file cannot be read or decoded.
    """
    image = decode(read_bytes(path), 3 if color else 1, f"'{path}'")
    return resize(image, height, width) if height > 0 and width > 0 else image


def resize(image: Image, height: int, width: int) -> Image:
    """Resize an H×W×C image by OpenCV's bilinear interpolation."""
    resized: Image = cv2().resize(image, (width, height))
    return resized if resized.ndim == 3 else resized[:, :, None]


def encode(image: Image, suffix: str, what: str) -> bytes:
    """Encode an H×W×C image (BGR).

    Args:
        image: the image.
        suffix: file name suffix of the format, e.g. ``.png`` or ``.jpg``.
        what: how errors refer to the image.

    Raises:
        CafxError: OpenCV does not support the format.
    """
    try:
        success, data = cv2().imencode(suffix, image)
    except cv2().error:
        success = False
    if not success:
        raise CafxError(f"image {what} cannot be encoded", found=suffix, expected=".png, .jpg or a similar format")
    encoded: bytes = data.tobytes()
    return encoded


def planes(image: Image) -> Image:
    """Convert an H×W×C image to a contiguous C×H×W array."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))
