"""Databases as data layers and tools see them: keys in order, values of bytes.

A plugin of group ``cafx.databases`` is a `Database` class; `open_database` finds one by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from cafx.kernel import CafxError, Registry, registry

Item = tuple[bytes, memoryview]
CAFFE_S = ("LEVELDB", "LMDB")  # the values of backend


class Reader:
    """A database open for reading; any number may be open on one database.

    Values hold until `close`, and may be used by any thread. One thread reads at a time.

    Attributes:
        lends: whether values are memory of the database itself, which cost nothing until looked at.
            Where they are copies, any number of threads may `get` them at once instead.
    """

    lends: ClassVar[bool] = True
    path: Path

    def __len__(self) -> int:
        """How many items (found by walking the keys where the database does not know)."""
        raise NotImplementedError

    def items(self, start: int = 0) -> Iterator[Item]:
        """Keys and values from the item numbered ``start`` to the last."""
        raise NotImplementedError

    def keys(self) -> Iterator[bytes]:
        """Every key in order, without reading values."""
        raise NotImplementedError

    def get(self, key: bytes) -> memoryview:
        """The value of a key that is there."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the database go; values lent become invalid. Closing again does nothing."""
        raise NotImplementedError

    def forever(self, start: int = 0) -> Iterator[tuple[bytes, memoryview | None]]:
        """Keys from the one numbered ``start`` (counted round and round), without an end.

        Their values come with them where they are lent.
        """
        position = start % len(self) if start else 0
        while True:
            if self.lends:
                yield from self.items(position)
            else:
                yield from ((key, None) for key in itertools.islice(self.keys(), position, None))
            position = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Writer:
    """A database open for writing; what `put` is handed is there together, or not at all."""

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Write one batch."""
        raise NotImplementedError

    def last_key(self) -> bytes | None:
        """The last key in order, or None."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush and let go."""
        raise NotImplementedError

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Database:
    """One kind of database; a plugin of group ``cafx.databases``.

    Class attributes:
        name: what a Data layer's ``backend`` or ``database`` calls it, in capitals.
        mark: the file by which a folder of this kind is known.
        reader, writer: what opens a folder's path.
    """

    name: ClassVar[str]
    mark: ClassVar[str]
    reader: ClassVar[Callable[[Path], Reader]]
    writer: ClassVar[Callable[[Path], Writer]]

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a database of this kind lies at ``path``."""
        return (path / cls.mark).is_file()

    @classmethod
    def open(cls, path: str | Path) -> Reader:
        """Open for reading; CafxError if it is missing, empty, damaged, in use, or another kind."""
        return cls.reader(checked_folder(Path(path), cls))

    @classmethod
    def create(cls, path: str | Path, *, append: bool = False) -> Writer:
        """Open for writing: a new one, or with ``append`` one that may be there already."""
        return cls.writer(checked_target(Path(path), append, cls))


def open_database(path: str | Path, backend: str | None = None, plugins: Registry | None = None) -> Reader:
    """Open for reading with the plugin named, or with the one that recognises what is there."""
    plugins = plugins or registry()
    if backend is not None:
        opened: Reader = plugins.load("database", backend).open(path)
        return opened
    for _, kind in plugins.usable("database"):
        if kind.recognises(Path(path)):
            found: Reader = kind.open(path)
            return found
    raise missing(Path(path))


def checked_folder(path: Path, kind: type[Database], plugins: Registry | None = None) -> Path:
    """``path`` if a database of this kind lies there; else the CafxError that says what does."""
    if kind.recognises(path):
        return path
    for plugin, other in (plugins or registry()).usable("database"):
        if other is not kind and other.recognises(path):
            raise CafxError(
                f"is not a {kind.name} database", where=str(path), found=f"one of {plugin.name}",
                remedy=f"set backend: {plugin.name}" if plugin.name in CAFFE_S else f'set database: "{plugin.name}"',
            )  # fmt: skip
    raise missing(path)


def checked_target(path: Path, append: bool = False, kind: type[Database] | None = None) -> Path:
    """``path`` if something may be written there, or with ``append`` added to a database of this kind."""
    if path.exists() and not append:
        raise CafxError(
            "cannot be made: something is there already", where=str(path),
            remedy="remove it, or choose another name",
        )  # fmt: skip
    if kind and path.is_dir() and any(path.iterdir()):
        return checked_folder(path, kind)
    if path.exists() and not path.is_dir():
        raise missing(path)
    if not path.parent.is_dir():
        raise CafxError("cannot be made: its folder is missing", where=str(path), remedy=f"mkdir -p {path.parent}")
    return path


def missing(path: Path) -> CafxError:
    """The error for a path where there is no database."""
    if path.is_dir():
        names: Any = sorted(each.name for each in path.iterdir())[:4]
        found = "a folder with " + ", ".join(names) if names else "an empty folder"
        return CafxError("is not a database", where=str(path), found=found)
    if path.exists():
        return CafxError("is not a database", where=str(path), found="a file", expected="a folder")
    return CafxError("there is no database", where=str(path), remedy="check the path")


def empty(path: Path) -> CafxError:
    """The error for a database without items."""
    return CafxError("the database is empty", where=str(path), expected="at least one item")


def damaged(path: Path, reason: object) -> CafxError:
    """The error for a database that cannot be read to its end."""
    return CafxError(f"the database is damaged: {reason}", where=str(path), remedy="make or copy it again")
