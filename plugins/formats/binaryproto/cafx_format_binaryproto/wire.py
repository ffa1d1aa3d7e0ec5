"""Protobuf's wire format, field by field, without building messages or copying values."""

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
    """The data is not a complete protobuf message."""


@attrs.frozen
class LayerFields:
    """Field numbers of one version of the layer message.

    Attributes:
        field: field of NetParameter that contains the layers.
        name, blobs, type: fields of the layer message; -1 for none.
        inner: field of the layer message that contains an older layer message; -1 for none.
        inner_fields: field numbers of this older message.
    """

    field: int
    name: int
    blobs: int
    type: int = -1
    inner: int = -1
    inner_fields: LayerFields | None = None


LAYER = LayerFields(field=100, name=1, blobs=7, type=2)


def fields(data: memoryview) -> Iterator[tuple[int, memoryview, Any]]:
    """Iterate over the fields of a message.

    Yields:
        The field's number, all its bytes, and its payload (an int for a varint, else bytes).

    Raises:
        Malformed: the message is not valid or is truncated.

    Example:
        >>> [(number, payload) for number, _, payload in fields(memoryview(bytes([0x08, 0x05])))]
        [(1, 5)]
    """
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
    """Iterate over the fields with one of these numbers that are messages: number and payload."""
    for number, _, payload in fields(data):
        if number in numbers and isinstance(payload, memoryview):
            yield number, payload


def integers(data: memoryview) -> list[int]:
    """The values of a BlobShape message, packed or not.

    Raises:
        Malformed: the message is not valid or is truncated.
    """
    unsigned: list[int] = []
    for number, _, payload in fields(data):
        if number == 1 and isinstance(payload, int):
            unsigned.append(payload)
        elif number == 1:
            position = 0
            while position < len(payload):
                value, position = read_varint(payload, position)
                unsigned.append(value)
    return [value - 2**64 if value >= 2**63 else value for value in unsigned]


def values(payload: Payload, dtype: str) -> npt.NDArray[Any]:
    """A view of a packed field, or of a single value, as an array.

    Raises:
        Malformed: the length is not a multiple of the item size.
    """
    if isinstance(payload, int) or len(payload) % np.dtype(dtype).itemsize:
        raise Malformed("a blob with truncated values")
    return np.frombuffer(payload, dtype)


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Decode the varint at ``position``; return its value and the position after it.

    Raises:
        Malformed: the varint is truncated or too long.
    """
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
    """Encode a non-negative integer as a varint: groups of seven bits, least significant first.

    Example:
        >>> varint(300).hex()
        'ac02'
    """
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def header(number: int, size: int) -> bytes:
    """The tag and length that precede ``size`` bytes of field ``number``, a message or packed field."""
    return varint(number << 3 | LENGTH) + varint(size)


def write_message(file: IO[bytes], number: int, pieces: Sequence[bytes]) -> None:
    """Write field ``number``, a message given in pieces, to ``file``."""
    file.write(header(number, sum(map(len, pieces))))
    for piece in pieces:
        file.write(piece)


def _size(data: memoryview, position: int, kind: int) -> tuple[int, int]:
    if kind == LENGTH:
        return read_varint(data, position)
    if kind in (FIXED32, FIXED64):
        return 4 if kind == FIXED32 else 8, position
    raise Malformed(f"a field of wire type {kind}")
