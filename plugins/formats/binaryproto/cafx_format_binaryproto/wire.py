"""Protobuf's wire format, walked field by field without building messages or copying values."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import IO, Any

import attrs
import numpy as np
import numpy.typing as npt

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10
Payload = memoryview | int


class Malformed(Exception):
    """The bytes are not a protobuf message, or not all of one."""


@attrs.frozen
class LayerFields:
    """Which fields of NetParameter and of its layer message hold a layer, its name and its blobs.

    A layer message may lie one level deeper, in field ``inner``, with ``inner_fields``.
    """

    field: int
    name: int
    blobs: int
    type: int = -1
    inner: int = -1
    inner_fields: LayerFields | None = None


LAYER = LayerFields(field=100, name=1, blobs=7, type=2)


def fields(data: memoryview) -> Iterator[tuple[int, memoryview, Any]]:
    """Each field of a message: its number, all its bytes, and its payload (an int for a varint)."""
    position, end = 0, len(data)
    while position < end:
        start = position
        tag, position = read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("a field numbered 0")
        payload: Payload
        if kind == VARINT:
            payload, position = read_varint(data, position)
        else:
            size, position = _size(data, position, kind)
            if size > end - position:
                raise Malformed(f"it ends {size - (end - position)} bytes early")
            payload = data[position : position + size]
            position += size
        yield number, data[start:position], payload


def messages(data: memoryview, numbers: Container[int]) -> Iterator[tuple[int, memoryview]]:
    """The payloads of the wanted fields that hold messages."""
    for number, _, payload in fields(data):
        if number in numbers and isinstance(payload, memoryview):
            yield number, payload


def integers(data: memoryview) -> list[int]:
    """The numbers of a BlobShape message, packed or not."""
    found: list[int] = []
    for number, _, payload in fields(data):
        if number == 1 and isinstance(payload, int):
            found.append(payload)
        elif number == 1:
            position = 0
            while position < len(payload):
                value, position = read_varint(payload, position)
                found.append(value)
    return [value - 2**64 if value >= 2**63 else value for value in found]


def values(payload: Payload, dtype: str) -> npt.NDArray[Any]:
    """A field of packed numbers, or a single one, as an array over the file's own bytes."""
    if isinstance(payload, int) or len(payload) % np.dtype(dtype).itemsize:
        raise Malformed("a blob whose values are cut off")
    return np.frombuffer(payload, dtype)


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number at ``position``, in seven-bit groups, and where it ends."""
    value = 0
    for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
        if position >= len(data):
            raise Malformed("it ends in the middle of a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Malformed("a number of more than ten bytes")


def varint(value: int) -> bytes:
    """``value`` encoded in seven-bit groups."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def header(number: int, size: int) -> bytes:
    """What precedes ``size`` bytes of a message or packed field."""
    return varint(number << 3 | LENGTH) + varint(size)


def write_message(file: IO[bytes], number: int, pieces: Sequence[bytes]) -> None:
    """Write the pieces of one message as field ``number``."""
    file.write(header(number, sum(map(len, pieces))))
    for piece in pieces:
        file.write(piece)


def _size(data: memoryview, position: int, kind: int) -> tuple[int, int]:
    if kind == LENGTH:
        return read_varint(data, position)
    if kind in (FIXED32, FIXED64):
        return 4 if kind == FIXED32 else 8, position
    raise Malformed(f"a field of wire type {kind}")
