"""Protobuf's scalar types: their ranges, and conversion of Python values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

SIGNED = {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (32, 64)}
INTEGER_RANGES = {**SIGNED, **{f"uint{bits}": (0, 2**bits - 1) for bits in (32, 64)}}
SCALAR_KINDS = {*INTEGER_RANGES, "float", "double", "bool", "string", "bytes"}
SCALAR_VALUES = {
    **dict.fromkeys(("int32", "int64"), "a whole number"),
    **dict.fromkeys(("uint32", "uint64"), "a whole number ≥ 0"),
    **dict.fromkeys(("float", "double"), "a number"),
    "bool": "True or False",
    "string": "a string",
    "bytes": "bytes",
}


def to_scalar(value: Any, kind: str) -> Any:
    """Convert a Python value to a protobuf scalar type.

    Args:
        value: the value.
        kind: name of the type, one of `SCALAR_KINDS`.

    Raises:
        TypeError, ValueError, OverflowError: the value has another type or is out of range.

    Example:
        >>> to_scalar(3, "float")
        3.0
    """
    return _CONVERT[kind](value, kind)


def _integer(value: Any, kind: str) -> int:
    if isinstance(value, bool):
        raise TypeError
    low, high = INTEGER_RANGES[kind]
    number = operator.index(value)
    if not low <= number <= high:
        raise OverflowError
    return number


def _real(value: Any, kind: str) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise TypeError
    return float(value)


def _boolean(value: Any, kind: str) -> bool:
    if value not in (False, True):
        raise TypeError
    return bool(value)


def _text(value: Any, kind: str) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _octets(value: Any, kind: str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))


_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(INTEGER_RANGES, _integer),
    "float": _real,
    "double": _real,
    "bool": _boolean,
    "string": _text,
    "bytes": _octets,
}
