"""Records of a kernel's arguments, as the kernel reads them from memory."""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

FORMATS = {int: "q", float: "f4x"}
"""Formats of `struct` for the types of fields: each takes eight bytes."""


class Arguments:
    """Base class of argument records: attrs classes whose fields are ints, floats or other such records.

    In memory a field takes eight bytes: an int as an int64, a float as a float32 followed by padding. The
    fields of a nested record stand where the record does.
    """

    def pack(self) -> npt.NDArray[np.int64]:
        """The fields in memory."""
        format_, values = _packing(type(self))
        return np.frombuffer(bytearray(format_.pack(*values(self))), np.int64)


@functools.cache
def fields(record: type[Arguments]) -> dict[str, Any]:
    """The types of a record's fields, by name and in order."""
    resolved: Any = attrs.resolve_types(record)
    return {field.name: field.type for field in attrs.fields(resolved)}


def flattened(record: type[Arguments]) -> dict[str, type]:
    """The types of all fields; those of nested records by dotted names."""
    types: dict[str, type] = {}
    for name, kind in fields(record).items():
        if kind in FORMATS:
            types[name] = kind
        else:
            types |= {f"{name}.{inner}": each for inner, each in flattened(kind).items()}
    return types


@functools.cache
def _packing(record: type[Arguments]) -> tuple[struct.Struct, Callable[[Any], list[Any]]]:
    """The format of a record, and a function that lists its values."""
    types = flattened(record)
    getters = [operator.attrgetter(name) for name in types]

    def values(arguments: Any) -> list[Any]:
        return [get(arguments) for get in getters]

    return struct.Struct("<" + "".join(FORMATS[kind] for kind in types.values())), values
