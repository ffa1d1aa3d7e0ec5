"""Reading Datums without copying pixels, and writing them.

Field numbers are those of Caffe's Datum message.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx_format_binaryproto import wire

CHANNELS, HEIGHT, WIDTH, DATA, LABEL, FLOATS, ENCODED = range(1, 8)
FLOAT_TAG = FLOATS << 3 | wire.FIXED32
DATA_TAG = DATA << 3 | wire.LENGTH
FLOAT_ITEM = np.dtype([("tag", "u1"), ("value", "<f4")])
MAX_FRAMING = 40
MAX_CACHED = 100_000
UNKNOWN = (0, None)
Shape3 = tuple[int, int, int]
Tails = dict[bytes, tuple[int, bool]]


@attrs.define(eq=False)
class Example:
    """The content of a Datum.

    Attributes:
        label: class of the example.
        pixels: array of shape C×H×W, uint8 or float32; None for an encoded image.
        image: content of an image file (JPEG, PNG, …), or None.
    """

    label: int
    pixels: npt.NDArray[np.generic] | None
    image: memoryview | None = None


class DatumReader:
    """Parses Datums, caching the bytes before and after the data.

    These bytes are mostly the same throughout a database, so that parsing usually takes two comparisons of
    a few bytes. Any number of threads may share a reader: the cache is replaced as a whole.

    Example:
        >>> pixels = np.zeros((3, 8, 8), np.uint8)
        >>> DatumReader().read(b"key", memoryview(datum_bytes(pixels, label=7))).label
        7
    """

    def __init__(self) -> None:
        self._cache: tuple[bytes, Shape3, Tails] = (b"", (0, 0, 0), {})

    def read(self, key: bytes, value: memoryview) -> Example:
        """Parse a Datum; the result refers to the memory of ``value``.

        Args:
            key: key of the item, for errors.
            value: the serialised Datum.

        Raises:
            CafxError: ``value`` is not a complete Datum.
        """
        head, shape, tails = self._cache
        start = len(head)
        try:
            if start and bytes(value[:start]) == head:  # comparing bytes is faster than comparing views
                size, start = wire.read_varint(value, start)
                end = start + size
                label, encoded = tails.get(bytes(value[end : end + MAX_FRAMING]), UNKNOWN)
                complete = end <= len(value)
                if encoded and size and complete:
                    return Example(label, None, value[start:end])
                if encoded is False and size == math.prod(shape) and complete:
                    return Example(label, _pixels(value[start:end], shape))
            return self._parse(value)
        except wire.Malformed as error:
            raise CafxError(f"item {key_text(key)} is not a Datum: {error}") from None

    def _parse(self, value: memoryview) -> Example:
        numbers = dict.fromkeys((CHANNELS, HEIGHT, WIDTH, LABEL, ENCODED), 0)
        data: memoryview | None = None
        start = position = 0
        before, floats, after = _split_floats(value)
        for number, raw, payload in (*wire.fields(before), *wire.fields(after)):
            position += len(raw)
            if number in numbers and isinstance(payload, int):
                numbers[number] = payload
            elif number == DATA and isinstance(payload, memoryview):
                data, start = payload, position - len(payload)
            elif number == FLOATS:
                floats = np.concatenate([floats, wire.values(payload, "<f4")])
        label = _signed(numbers[LABEL])
        if data and numbers[ENCODED]:
            self._remember(value, (0, 0, 0), start, len(data), (label, True))
            return Example(label, None, data)
        if numbers[ENCODED]:
            raise wire.Malformed("encoded is set, but there is no image")
        shape = (numbers[CHANNELS], numbers[HEIGHT], numbers[WIDTH])
        count = len(data) if data else floats.size
        if count != math.prod(shape) or not count:
            raise wire.Malformed(f"it has {count} values for a shape of {shape_text(shape)}")
        if not data:
            return Example(label, floats.reshape(shape))
        self._remember(value, shape, start, count, (label, False))
        return Example(label, _pixels(data, shape))

    def _remember(self, value: memoryview, shape: Shape3, start: int, size: int, kind: tuple[int, bool]) -> None:
        """Cache the bytes before the size of the data and those after the data."""
        head = bytes(value[: start - len(wire.varint(size))])
        tail = bytes(value[start + size :])
        if max(len(head), len(tail)) >= MAX_FRAMING or head[-1] != DATA_TAG:
            return
        cache = self._cache
        if cache[:2] != (head, shape) or len(cache[2]) > MAX_CACHED:
            cache = self._cache = (head, shape, {})
        cache[2][tail] = kind


def datum_bytes(
    pixels: npt.NDArray[np.generic] | None = None,
    label: int | None = None,
    *,
    image: bytes | None = None,
    encoded: bool | None = None,
) -> bytes:
    """Serialise a Datum to the same bytes as Caffe.

    Args:
        pixels: array of shape C×H×W; values other than uint8 are written as floats.
        label: class of the example.
        image: content of an image file, instead of pixels.
        encoded: value of the field ``encoded``; None to leave it out.
    """
    parts = []
    data = image
    if pixels is not None:
        for number, length in zip((CHANNELS, HEIGHT, WIDTH), pixels.shape, strict=True):
            parts.append(wire.varint(number << 3) + wire.varint(length))
        data = pixels.tobytes() if pixels.dtype == np.uint8 else None
    if data is not None:
        parts += [wire.header(DATA, len(data)), data]
    if label is not None:
        parts.append(wire.varint(LABEL << 3) + wire.varint(label % 2**64))
    if pixels is not None and data is None:
        values = np.empty(pixels.size, FLOAT_ITEM)
        values["tag"], values["value"] = FLOAT_TAG, pixels.reshape(-1)
        parts.append(values.tobytes())
    if encoded is not None:
        parts.append(wire.varint(ENCODED << 3) + wire.varint(int(encoded)))
    return b"".join(parts)


def key_text(key: bytes) -> str:
    """A key in quotes, for messages.

    Example:
        >>> key_text(b"00000007")
        "'00000007'"
    """
    return f"'{key.decode('utf-8', 'backslashreplace')}'"


def _split_floats(value: memoryview) -> tuple[memoryview, npt.NDArray[np.float32], memoryview]:
    """Split a Datum into the fields before a run of unpacked floats, the floats, and the fields after."""
    head = bytes(value[:MAX_FRAMING])
    position = 0
    while position < len(head) and head[position] & 7 == wire.VARINT:
        position += 1
        while position < len(head) and head[position] >= 0x80:
            position += 1
        position += 1
    if position >= len(head) or head[position] != FLOAT_TAG:
        return value, np.empty(0, np.float32), value[:0]
    size = (len(value) - position) // FLOAT_ITEM.itemsize * FLOAT_ITEM.itemsize
    items = np.frombuffer(value[position : position + size], FLOAT_ITEM)
    others = np.flatnonzero(items["tag"] != FLOAT_TAG)
    count = int(others[0]) if others.size else items.size
    end = position + count * FLOAT_ITEM.itemsize
    return value[:position], items["value"][:count], value[end:]


def _pixels(data: memoryview, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8).reshape(shape)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
