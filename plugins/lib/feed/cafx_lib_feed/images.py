"""Images in and out: decoded and resized as Caffe's OpenCV does, JPEG by a library made for speed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

Image = npt.NDArray[np.uint8]
Memory = Callable[[int], Any]
JPEG = b"\xff\xd8"
EXIF = b"Exif\0\0"
MARK, SEGMENT, FRAME = 0xFF, 4, 6
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SPACES = {1: "GRAY", 3: "BGR"}


@functools.cache
def cv2() -> Any:
    """OpenCV, imported when the first image is met; threads are ours to make."""
    import cv2 as module

    module.setNumThreads(0)
    return module


@functools.cache
def _simplejpeg() -> Any:
    """The JPEG decoder, imported when the first one is met."""
    import simplejpeg

    return simplejpeg


def decode(data: memoryview | bytes, channels: int | None, what: str, memory: Memory | None = None) -> Image:
    """The image in ``data`` as H×W×C bytes (BGR), with 1 or 3 channels or (None) as many as it has.

    Args:
        memory: gives the bytes a JPEG is decoded into, when told how many.

    Raises:
        CafxError: naming ``what``, where it is not an image, or not of 8 bits.
    """
    found = decode_jpeg(data, channels, memory)
    if found is not None:
        return found
    flag = {1: cv2().IMREAD_GRAYSCALE, 3: cv2().IMREAD_COLOR, None: cv2().IMREAD_UNCHANGED}[channels]
    try:
        image = cv2().imdecode(np.frombuffer(data, np.uint8), flag) if len(data) else None
    except cv2().error:
        image = None
    if image is None:
        raise CafxError(
            f"image {what} cannot be decoded", found=f"{len(data)} bytes starting {bytes(data[:8])!r}",
            remedy="replace it or take it out of the list",
        )  # fmt: skip
    if image.dtype != np.uint8:
        raise CafxError(f"image {what}", found=f"{image.dtype} pixels", expected="8 bits a channel")
    shaped: Image = image if image.ndim == 3 else image[:, :, None]
    return shaped


def decode_jpeg(data: memoryview | bytes, channels: int | None, memory: Memory | None = None) -> Image | None:
    """What `decode` makes of a JPEG; None for what only OpenCV reads as Caffe would (damaged, CMYK, turned)."""
    head = _jpeg_head(data)
    if head is None or (channels and head.turned):
        return None
    wanted = channels or head.channels
    try:
        buffer = memory(head.height * head.width * wanted) if memory else None
        decoded: Image = _simplejpeg().decode_jpeg(data, SPACES[wanted], buffer=buffer)
    except ValueError:
        return None
    return decoded


@attrs.frozen
class JpegHead:
    """What a JPEG states before its pixels; ``turned`` if it may say that it is to be turned."""

    height: int
    width: int
    channels: int
    turned: bool


_last_head: tuple[bytes, JpegHead | None] = (b"\0", None)


def _jpeg_head(data: memoryview | bytes) -> JpegHead | None:
    """A JPEG's head, or None; the files of one program mostly begin with the very same bytes."""
    global _last_head  # exchanged as a whole, so that threads may share it
    known, head = _last_head
    if bytes(data[: len(known)]) == known:  # views are compared byte by byte
        return head
    end = _jpeg_frame(data)
    numbers = bytes(data[end - FRAME : end]) if end else b""
    if len(numbers) < FRAME or numbers[-1] not in SPACES:
        return None
    height, width = int.from_bytes(numbers[-5:-3]), int.from_bytes(numbers[-3:-1])
    held = bytes(data[:end])
    head = JpegHead(height, width, numbers[-1], EXIF in held)
    _last_head = held, head
    return head


def _jpeg_frame(data: memoryview | bytes) -> int:
    """Where the numbers of the frame (depth, height, width, channels) end in a JPEG; 0 where there are none."""
    if bytes(data[:2]) != JPEG:
        return 0
    position = 2
    while position + SEGMENT < len(data) and data[position] == MARK:
        if data[position + 1] in FRAMES:
            return position + SEGMENT + FRAME
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return 0


def read_bytes(path: str | Path) -> bytes:
    """The bytes of an image file; CafxError naming it where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CafxError(f"image '{path}' cannot be read: {error.strerror}", remedy="check the list") from None


def read_image(path: str | Path, color: bool = True, height: int = 0, width: int = 0) -> Image:
    """The image file ``path`` as H×W×C bytes, resized where both ``height`` and ``width`` are given."""
    image = decode(read_bytes(path), 3 if color else 1, f"'{path}'")
    return resize(image, height, width) if height > 0 and width > 0 else image


def resize(image: Image, height: int, width: int) -> Image:
    """Bilinear, as OpenCV does."""
    resized: Image = cv2().resize(image, (width, height))
    return resized if resized.ndim == 3 else resized[:, :, None]


def encode(image: Image, suffix: str, what: str) -> bytes:
    """The image in the format a file's ending names (``.png``, ``.jpg``), as OpenCV writes it."""
    try:
        done, data = cv2().imencode(suffix, image)
    except cv2().error:
        done = False
    if not done:
        raise CafxError(f"image {what} cannot be encoded", found=suffix, expected=".png, .jpg or the like")
    encoded: bytes = data.tobytes()
    return encoded


def planes(image: Image) -> Image:
    """H×W×C as C×H×W, in memory of its own."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))
