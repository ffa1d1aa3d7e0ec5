"""Datums, read where they lie: pixel bytes are never copied, and a layout met before is known again."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_format_binaryproto import wire

CHANNELS, HEIGHT, WIDTH, DATA, LABEL, FLOATS, ENCODED = range(1, 8)
FLOAT_TAG = FLOATS << 3 | wire.FIXED32
DATA_TAG = DATA << 3 | wire.LENGTH
FLOAT_ITEM = np.dtype([("tag", "u1"), ("value", "<f4")])
LONGEST_HEAD = 40
KNOWN_TAILS = 100_000
UNKNOWN = (0, None)
Shape3 = tuple[int, int, int]
Tails = dict[bytes, tuple[int, bool]]


@attrs.define(eq=False)
class Example:
    """What one Datum holds: ``pixels`` of shape C×H×W (uint8 or float32), or ``image`` encoded."""

    label: int
    pixels: npt.NDArray[np.generic] | None
    image: memoryview | None = None


class DatumReader:
    """Reads Datums; those that look like an earlier one cost two comparisons of a few bytes.

    What precedes the data and what follows them is mostly the same all over a database. Any number
    of threads may read at once: what is known is exchanged as a whole.
    """

    def __init__(self) -> None:
        self._known: tuple[bytes, Shape3, Tails] = (b"", (0, 0, 0), {})

    def read(self, key: bytes, value: memoryview) -> Example:
        """The Datum in ``value``; CafxError naming ``key`` where it is none."""
        head, shape, tails = self._known
        start = len(head)
        try:
            if start and bytes(value[:start]) == head:  # views are compared byte by byte
                size, start = wire.read_varint(value, start)
                end = start + size
                label, encoded = tails.get(bytes(value[end : end + LONGEST_HEAD]), UNKNOWN)
                whole = end <= len(value)
                if encoded and size and whole:
                    return Example(label, None, value[start:end])
                if encoded is False and size == math.prod(shape) and whole:
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
            raise wire.Malformed("it is encoded, but holds no image")
        shape = (numbers[CHANNELS], numbers[HEIGHT], numbers[WIDTH])
        held = len(data) if data else floats.size
        if held != math.prod(shape) or not held:
            raise wire.Malformed(f"it holds {held} values for {_times(shape)} pixels")
        if not data:
            return Example(label, floats.reshape(shape))
        self._remember(value, shape, start, held, (label, False))
        return Example(label, _pixels(data, shape))

    def _remember(self, value: memoryview, shape: Shape3, start: int, size: int, kind: tuple[int, bool]) -> None:
        """Keep the bytes around ``size`` bytes of data, but for those that tell the size."""
        head = bytes(value[: start - len(wire.varint(size))])
        tail = bytes(value[start + size :])
        if max(len(head), len(tail)) >= LONGEST_HEAD or head[-1] != DATA_TAG:
            return
        known = self._known
        if known[:2] != (head, shape) or len(known[2]) > KNOWN_TAILS:
            known = self._known = (head, shape, {})
        known[2][tail] = kind


def datum_bytes(
    pixels: npt.NDArray[np.generic] | None = None,
    label: int | None = None,
    *,
    image: bytes | None = None,
    encoded: bool | None = None,
) -> bytes:
    """A Datum as Caffe writes it: C×H×W pixels (uint8, or floats), or an encoded image."""
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
    """A key for error messages."""
    return f"'{key.decode('utf-8', 'backslashreplace')}'"


def _split_floats(value: memoryview) -> tuple[memoryview, npt.NDArray[np.float32], memoryview]:
    """The fields before a run of unpacked floats, the floats, and the fields after them."""
    head = bytes(value[:LONGEST_HEAD])
    position = 0
    while position < len(head) and head[position] & 7 == wire.VARINT:
        position += 1
        while position < len(head) and head[position] >= 0x80:
            position += 1
        position += 1
    if position >= len(head) or head[position] != FLOAT_TAG:
        return value, np.empty(0, np.float32), value[:0]
    whole = (len(value) - position) // FLOAT_ITEM.itemsize * FLOAT_ITEM.itemsize
    items = np.frombuffer(value[position : position + whole], FLOAT_ITEM)
    others = np.flatnonzero(items["tag"] != FLOAT_TAG)
    count = int(others[0]) if others.size else items.size
    end = position + count * FLOAT_ITEM.itemsize
    return value[:position], items["value"][:count], value[end:]


def _pixels(data: memoryview, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8).reshape(shape)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
