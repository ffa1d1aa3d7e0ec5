"""Records of a kernel's arguments, as the kernel reads them from memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

FORMATS = {int: "<q", float: "<f4x"}
"""Formats of `struct` for the types of fields: each takes eight bytes."""


class Arguments:
    """Base class of argument records: attrs classes whose fields are ints, floats or other such records.

    In memory a field takes eight bytes: an int as an int64, a float as a float32 followed by padding. The
    fields of a nested record stand where the record does.
    """

    def pack(self) -> npt.NDArray[np.int64]:
        """The fields in memory."""
        parts = [struct.pack(FORMATS[kind], value) for kind, value in _values(self)]
        return np.frombuffer(bytearray(b"".join(parts)), np.int64)


def fields(record: type[Arguments]) -> list[tuple[str, Any]]:
    """Names and types of a record's fields, in order."""
    resolved: Any = attrs.resolve_types(record)
    return [(field.name, field.type) for field in attrs.fields(resolved)]


def layout(record: type[Arguments]) -> str:
    """Names and types of all fields as text, nested records included."""
    parts = [f"{name}:{kind.__name__ if kind in FORMATS else layout(kind)}" for name, kind in fields(record)]
    return f"({' '.join(parts)})"


def _values(record: Arguments) -> Iterator[tuple[type, Any]]:
    for name, kind in fields(type(record)):
        value = getattr(record, name)
        if kind in FORMATS:
            yield kind, value
        else:
            yield from _values(value)
