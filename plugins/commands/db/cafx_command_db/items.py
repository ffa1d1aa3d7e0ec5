"""Items on their way from one database to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError, registry
from cafx.kernel.blob import shape_text
from cafx_lib_feed.database import Reader
from cafx_lib_feed.datum import DatumReader, key_text
from cafx_lib_feed.tools import progress, write_all

Items = Iterable[tuple[bytes, Any]]
DIGITS = 8
"""Digits of the number with which a key begins, as convert-imageset writes it."""


def kind_of(path: str | Path) -> str:
    """The kind of a database that exists, such as ``LMDB``."""
    kinds = registry().usable("database")
    return next(plugin.name for plugin, kind in kinds if kind.recognises(Path(path)))


def describe(reader: Reader) -> str:
    """What the first item of a database is."""
    key, value = next(iter(reader.items()))
    try:
        example = DatumReader().read(key, value)
    except CafxError:
        return "values that are not Datums"
    if example.pixels is None:
        return "encoded images"
    return f"{shape_text(example.pixels.shape)} {example.pixels.dtype}"


def numbered(items: Items, count: int) -> Iterator[tuple[bytes, Any]]:
    """Replace the number with which each key begins by its position, or put it before a key without number.

    Args:
        items: keys and values.
        count: their number.

    Example:
        >>> list(numbered([(b"00000007_a.png", b""), (b"b", b"")], 2))
        [(b'00000000_a.png', b''), (b'00000001_b', b'')]
    """
    digits = max(DIGITS, len(str(count)))
    for position, (key, value) in enumerate(items):
        head, _, rest = key.partition(b"_")
        yield b"%0*d_%s" % (digits, position, rest if head.isdigit() else key), value


def store(writer: Any, items: Items, count: int, label: str) -> int:
    """Write items with a progress bar; returns their number."""
    with progress(((key, bytes(value)) for key, value in items), count, label) as shown:
        return write_all(writer, shown)


def duplicate(key: bytes, first: Reader, second: Reader) -> CafxError:
    """The error for a key that two databases have."""
    return CafxError(
        f"key {key_text(key)} is also in {first.path}",
        where=str(second.path),
        remedy="--renumber gives all items new keys, in the order of the databases",
    )
