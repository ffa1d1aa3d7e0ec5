"""The header of a safetensors file: eight bytes with its length, then JSON; read as untrusted input."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

LENGTH_BYTES = 8
MAX_HEADER = 25 << 20
"""Largest header that is read, in bytes."""
MAX_AXES = 32
ALIGNMENT = 8
METADATA = "__metadata__"
TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""The types that are supported, and the bytes of a value."""
MAX_SHOWN = 60


class Malformed(Exception):
    """The data is not a complete safetensors file."""


@attrs.frozen
class Tensor:
    """One tensor of a file.

    Attributes:
        dtype: one of `TYPES`.
        shape: its shape.
        begin, end: where its bytes are, counted from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@attrs.frozen
class Header:
    """What a file holds, and where.

    Attributes:
        tensors: by name, in the order of the file.
        metadata: further texts by name.
        size: bytes before the first value.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    size: int

    @classmethod
    def parse(cls, data: memoryview) -> Header:
        """The header of a file.

        Args:
            data: the whole file.

        Raises:
            Malformed: the header is damaged, or its tensors are not the bytes that follow it.

        Example:
            >>> text = b'{"ip.0":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
            >>> Header.parse(memoryview(len(text).to_bytes(8, "little") + text + bytes(8))).tensors["ip.0"]
            Tensor(dtype='F32', shape=(2,), begin=0, end=8)
        """
        length = header_length(bytes(data[:LENGTH_BYTES]))
        if length is None or length > len(data) - LENGTH_BYTES:
            raise Malformed("it ends within its header")
        entries = _parsed(bytes(data[LENGTH_BYTES : LENGTH_BYTES + length]))
        metadata = entries.pop(METADATA, {})
        if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in metadata.values()):
            raise Malformed(f"{METADATA} is not a table of texts")
        tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
        _check_tiling(tensors, len(data) - LENGTH_BYTES - length)
        return cls(tensors, metadata, LENGTH_BYTES + length)

    @staticmethod
    def encode(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
        """The bytes before the values, for tensors that follow each other without gaps.

        Args:
            tensors: name, type and shape of each.
            metadata: further texts by name.
        """
        entries: dict[str, Any] = {METADATA: dict(metadata)}
        begin = 0
        for name, dtype, shape in tensors:
            end = begin + TYPES[dtype] * math.prod(shape)
            entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
            begin = end
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        text += b" " * (-len(text) % ALIGNMENT)
        return len(text).to_bytes(LENGTH_BYTES, "little") + text


def header_length(head: bytes) -> int | None:
    """The length of the header that follows the first eight bytes; None if it is not plausible.

    Example:
        >>> header_length((100).to_bytes(8, "little")), header_length(b"notatall")
        (100, None)
    """
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    return length if len(head) >= LENGTH_BYTES and 2 <= length <= MAX_HEADER else None


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"its header is not JSON: {type(error).__name__}") from None
    if not isinstance(entries, dict):
        raise Malformed("its header is not a table")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Malformed("its header has a name twice")
    return table


def _tensor(name: str, entry: Any) -> Tensor:
    shown = repr(name[:MAX_SHOWN])
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"tensor {shown} lacks its type, shape or offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or len(shape) > MAX_AXES or not _are_sizes(offsets) or len(offsets) != 2:
        raise Malformed(f"tensor {shown} has a shape or offsets that are not sizes")
    if not isinstance(dtype, str) or dtype not in TYPES:
        raise Malformed(f"tensor {shown} has type {str(dtype)[:MAX_SHOWN]!r}, not one of {', '.join(TYPES)}")
    if offsets[1] - offsets[0] != TYPES[dtype] * math.prod(shape):
        raise Malformed(f"tensor {shown} has {offsets[1] - offsets[0]} bytes for {dtype} of shape {shape}")
    return Tensor(dtype, tuple(shape), *offsets)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) is int and 0 <= each < 1 << 63 for each in values)


def _check_tiling(tensors: Mapping[str, Tensor], size: int) -> None:
    """The format wants every byte to belong to exactly one tensor."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            raise Malformed(f"tensor {name[:MAX_SHOWN]!r} does not begin where the one before it ends")
        position = tensor.end
    if position != size:
        raise Malformed(f"its tensors need {position} bytes, and {size} follow the header")
