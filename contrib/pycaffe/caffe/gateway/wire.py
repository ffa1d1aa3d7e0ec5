"""Values as bytes: texts, arrays and lists of them.

Numbers are little-endian. A value is a letter and its content:

====== ========================================================================================
``t``  text: number of bytes (uint32), UTF-8
``a``  array: class (uint8, an index of `CLASSES`), number of axes (uint8), their lengths
       (uint64 each) in MATLAB's order, the values in MATLAB's order
``l``  list: number of values (uint32), the values
====== ========================================================================================

MATLAB keeps arrays column by column, NumPy row by row: a W×H×C×N array of the one has the same bytes as an N×C×H×W
array of the other. Therefore only the order of the lengths is reversed, and values are never transposed.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = ("<f8", "<f4", "<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "?")
"""NumPy's types of MATLAB's classes: double, single, int8, uint8, …, int64, uint64, logical."""
COUNT, LENGTH = struct.Struct("<I"), struct.Struct("<Q")
DEPTH = 16
"""Lists within lists that are read."""


class MalformedError(ValueError):
    """Bytes that are not a value."""


def encode(value: Any) -> bytes:
    """Convert a text, a number, an array, or a list of such values to bytes.

    Example:
        >>> encode("hi")
        b't\\x02\\x00\\x00\\x00hi'
        >>> decode(encode(["blob", np.ones((2, 3), np.float32)]))[1].shape
        (2, 3)
    """
    return b"".join(_pieces(value))


def decode(data: bytes) -> Any:
    """Convert bytes to the value that they contain.

    Raises:
        MalformedError: they are not the bytes of a value.
    """
    value, end = _value(memoryview(data), 0, DEPTH)
    if end != len(data):
        raise MalformedError(f"{len(data) - end} bytes after the value")
    return value


def _pieces(value: Any) -> list[bytes]:
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogateescape")
        return [b"t", COUNT.pack(len(text)), text]
    if isinstance(value, (list, tuple)):
        return [b"l", COUNT.pack(len(value)), *(piece for each in value for piece in _pieces(each))]
    array = np.asarray(value)
    array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    code = [np.dtype(each) for each in CLASSES].index(array.dtype)
    lengths = b"".join(map(LENGTH.pack, reversed(array.shape)))
    return [b"a", bytes([code, array.ndim]), lengths, array.tobytes()]


def _value(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    kind, at = bytes(_bytes(data, at, 1)), at + 1
    if kind == b"t":
        count, at = _number(data, at, COUNT)
        return bytes(_bytes(data, at, count)).decode("utf-8", "surrogateescape"), at + count
    if kind == b"a":
        return _array(data, at)
    if kind == b"l" and depth:
        return _list(data, at, depth - 1)
    raise MalformedError(f"no value begins with {kind!r}" if depth else "lists are nested too deeply")


def _list(data: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    count, at = _number(data, at, COUNT)
    values = []
    for _ in range(count):
        value, at = _value(data, at, depth)
        values.append(value)
    return values, at


def _array(data: memoryview, at: int) -> tuple[npt.NDArray[Any], int]:
    code, axes = _bytes(data, at, 2)
    at += 2
    if code >= len(CLASSES):
        raise MalformedError(f"no class of arrays has number {code}")
    shape = []
    for _ in range(axes):
        length, at = _number(data, at, LENGTH)
        shape.append(length)
    dtype = np.dtype(CLASSES[code])
    size = math.prod(shape) * dtype.itemsize
    values = np.frombuffer(_bytes(data, at, size), dtype)
    try:
        return values.reshape(shape[::-1]), at + size
    except ValueError as error:
        raise MalformedError(f"an array of lengths {shape}: {error}") from None


def _number(data: memoryview, at: int, form: struct.Struct) -> tuple[int, int]:
    (number,) = form.unpack(_bytes(data, at, form.size))
    return number, at + form.size


def _bytes(data: memoryview, at: int, count: int) -> memoryview:
    if count > len(data) - at:
        raise MalformedError(f"{count} bytes expected at {at}, but there are {len(data) - at}")
    return data[at : at + count]
