"""What a request may cost: bytes, seconds, and pixels by what an image's header says."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx_lib_feed.images import Image, decode, encode, resize

PREVIEW = 800
"""Longer side of a small copy of an image, in pixels."""


class Refusal(Exception):
    """A request that is refused.

    Args:
        status: the HTTP status.
        message: one sentence for people.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


@attrs.frozen
class Limits:
    """Limits of requests.

    Attributes:
        body: bytes of a request's body.
        pixels: pixels of an image.
        seconds: for a request's body to arrive.
        waiting: requests in work at the same time.
    """

    body: int = 16 << 20
    pixels: int = 50_000_000
    seconds: float = 20.0
    waiting: int = 64


async def read_body(request: Any, limits: Limits) -> bytes:
    """The body of a Starlette request.

    Raises:
        Refusal: it is too large (413) or too slow (408).
    """
    stated = request.headers.get("content-length", "0")
    too_large = Refusal(413, f"the request is too large: at most {limits.body:,} bytes")
    if not stated.isdecimal() or int(stated) > limits.body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body:
                    raise too_large
    except TimeoutError:
        raise Refusal(408, f"the request did not arrive within {limits.seconds:g} seconds") from None
    return bytes(body)


def read_pixels(data: bytes, channels: int, limits: Limits) -> Image:
    """Decode an image, turned as its EXIF data says, after its header has been checked.

    Args:
        data: content of an image file.
        channels: 1 or 3.
        limits: the most pixels.

    Returns:
        uint8 pixels, H×W×C, BGR.

    Raises:
        Refusal: it is no image (415), has too many pixels (413), or is damaged (400).
    """
    size = header_size(data)
    if size is None:
        raise Refusal(415, "this is no image that can be read here: JPEG, PNG, WebP, BMP or GIF")
    width, height = size
    if width * height > limits.pixels or not width * height:
        raise Refusal(413, f"the image has {width}×{height} pixels: at most {limits.pixels:,} are read")
    try:
        return decode(data, channels, "of the request")
    except CafxError:
        raise Refusal(400, "the image is damaged, or of a kind that cannot be decoded") from None


def preview(pixels: Image) -> str:
    """A small copy of an image as a data URL."""
    height, width = pixels.shape[:2]
    share = min(1.0, PREVIEW / max(height, width))
    small = resize(pixels, max(1, round(height * share)), max(1, round(width * share)))
    return "data:image/jpeg;base64," + base64.b64encode(encode(small, ".jpg", "of the request")).decode()


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, as the header of a JPEG, PNG, GIF, BMP or WebP states them; None if it is none of these.

    Example:
        >>> header_size(b"GIF89a" + bytes([5, 0, 7, 0]))
        (5, 7)
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", data[16:24])
        if data[:4] == b"GIF8":
            return struct.unpack("<HH", data[6:10])
        if data[:2] == b"BM":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
    except struct.error:
        return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """The size in the start-of-frame segment."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        elif marker in (0x01, *range(0xD0, 0xD9)):
            position += 2
        else:
            position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        sides = struct.unpack("<HBHB", data[24:30])
        return (sides[0] | sides[1] << 16) + 1, (sides[2] | sides[3] << 16) + 1
    return None
