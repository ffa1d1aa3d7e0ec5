"""Databases as data layers and tools use them: ordered keys, values of bytes.

A plugin of group ``cafx.databases`` is a `Database` class; `open_database` finds one by name.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from cafx.kernel import CafxError, Registry, registry
from cafx.kernel.files import Kinds, kind_of_file, path_remedy, shown

Item = tuple[bytes, memoryview]
CAFFE_BACKENDS = ("LEVELDB", "LMDB")
LISTED = "a list of images belongs to an ImageData layer"


class Reader:
    """A database open for reading; a database may have any number of readers.

    Values stay valid until `close` and may be used by any thread. Only one thread at a time may read.

    Class attributes:
        lends: whether values are views of the database's own memory, which cost nothing until they are
            accessed. Otherwise they are copies, and any number of threads may call `get` concurrently.
    """

    lends: ClassVar[bool] = True
    path: Path

    def __len__(self) -> int:
        """The number of items; may require a walk over all keys."""
        raise NotImplementedError

    def items(self, start: int = 0) -> Iterator[Item]:
        """Iterate over keys and values in order, from item number ``start`` to the last.

        Raises:
            CafxError: the database is damaged or closed.
        """
        raise NotImplementedError

    def keys(self) -> Iterator[bytes]:
        """Iterate over all keys in order, without reading values.

        Raises:
            CafxError: the database is damaged or closed.
        """
        raise NotImplementedError

    def get(self, key: bytes) -> memoryview:
        """The value of an existing key.

        Raises:
            CafxError: the key is missing, or the database is damaged or closed.
        """
        raise NotImplementedError

    def check_lent(self) -> None:
        """Check, before lent values are read, that their memory is still there.

        What another program does between this check and the reading cannot be checked.

        Raises:
            CafxError: the database has been truncated.
        """

    def close(self) -> None:
        """Close the database, which invalidates lent values; closing twice has no effect."""
        raise NotImplementedError

    def forever(self, start: int = 0) -> Iterator[tuple[bytes, memoryview | None]]:
        """Iterate endlessly over keys, starting at item number ``start`` modulo the number of items.

        Yields:
            Each key with its value if the reader lends values, or else with None.
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
    """A database open for writing; each `put` is atomic."""

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Write a batch of keys and values in one transaction.

        Raises:
            CafxError: the batch cannot be written.
        """
        raise NotImplementedError

    def last_key(self) -> bytes | None:
        """The last key in order, or None if the database is empty."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush and close the database."""
        raise NotImplementedError

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Database:
    """One kind of database; a plugin of group ``cafx.databases``.

    Class attributes:
        name: name used by the Data layer's ``backend`` or ``database`` option, in capitals.
        mark: name of a file by which a folder of this kind is recognised.
        reader, writer: open the database in a folder.
    """

    name: ClassVar[str]
    mark: ClassVar[str]
    reader: ClassVar[Callable[[Path], Reader]]
    writer: ClassVar[Callable[[Path], Writer]]

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether ``path`` is a database of this kind."""
        return os.path.isfile(path / cls.mark)  # noqa: PTH113 - pathlib raises where a name is too long

    @classmethod
    def open(cls, path: str | Path) -> Reader:
        """Open a database for reading.

        Raises:
            CafxError: it is missing, empty, damaged, locked or of another kind.
        """
        return cls.reader(checked_folder(Path(path), cls))

    @classmethod
    def create(cls, path: str | Path, *, append: bool = False) -> Writer:
        """Open a new database for writing; with ``append``, it may exist.

        Raises:
            CafxError: ``path`` exists, is a database of another kind, or cannot be written.
        """
        return cls.writer(checked_target(Path(path), append, cls))


def open_database(path: str | Path, backend: str | None = None, plugins: Registry | None = None) -> Reader:
    """Open a database for reading.

    Args:
        path: its folder.
        backend: its kind, e.g. ``LMDB`` (default: detected).
        plugins: where to find databases (default: this environment).

    Raises:
        CafxError: as `Database.open`, or no plugin recognises it.
    """
    plugins = plugins or registry()
    if backend is not None:
        named: Reader = plugins.load("database", backend).open(path)
        return named
    for _, kind in plugins.usable("database"):
        if kind.recognises(Path(path)):
            detected: Reader = kind.open(path)
            return detected
    raise missing(Path(path))


def checked_folder(path: Path, kind: type[Database], plugins: Registry | None = None) -> Path:
    """Return ``path`` if it is a database of this kind.

    Raises:
        CafxError: it is missing, or something else; the error says what.
    """
    if kind.recognises(path):
        return path
    for plugin, other in (plugins or registry()).usable("database"):
        if other is not kind and other.recognises(path):
            field = f"backend: {plugin.name}" if plugin.name in CAFFE_BACKENDS else f'database: "{plugin.name}"'
            found = f"a database of kind {plugin.name}"
            raise CafxError(f"is not a {kind.name} database", where=str(path), found=found, remedy=f"set {field}")
    raise missing(path)


def checked_target(path: Path, append: bool = False, kind: type[Database] | None = None) -> Path:
    """Return ``path`` if it can be created or, with ``append``, is a database of this kind.

    Raises:
        CafxError: it exists, is a database of another kind, or its parent folder is missing.
    """
    if os.path.exists(path) and not append:  # noqa: PTH110
        raise CafxError("already exists", where=str(path), remedy="remove it, or choose another name")
    if kind and os.path.isdir(path) and any(path.iterdir()):  # noqa: PTH112
        return checked_folder(path, kind)
    if os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112
        raise missing(path)
    if not os.path.isdir(path.parent):  # noqa: PTH112
        raise CafxError("its parent folder does not exist", where=str(path), remedy=f"mkdir -p {path.parent}")
    return path


def missing(path: Path) -> CafxError:
    """The error for a path that is not a database."""
    if os.path.isdir(path):  # noqa: PTH112
        names: Any = sorted(each.name for each in path.iterdir())[:4]
        found = "a folder with " + ", ".join(names) if names else "an empty folder"
        return CafxError("is not a database", where=str(path), found=found)
    if os.path.exists(path):  # noqa: PTH110
        kind = kind_of_file(path)
        remedy = f"name its folder, '{path.parent}'" if kind is Kinds.LMDB else kind.belongs if kind else LISTED
        found = kind.name if kind else "a file"
        return CafxError("is not a database", where=str(path), found=found, expected="a folder", remedy=remedy or None)
    return CafxError(f"no database at '{shown(path)}'", remedy=path_remedy(path))


def empty(path: Path) -> CafxError:
    """The error for a database without items."""
    return CafxError("the database is empty", where=str(path), expected="at least one item")


def damaged(path: Path, reason: object) -> CafxError:
    """The error for a database that cannot be read completely."""
    return CafxError(f"the database is damaged: {reason}", where=str(path), remedy="create or copy it again")
