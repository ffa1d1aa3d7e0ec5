"""LMDB: databases in a memory-mapped file; values are views of the mapping."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import lmdb

from cafx.kernel import CafxError
from cafx_lib_feed.database import Database, Item, Reader, Writer, damaged, empty

FILE = "data.mdb"
FIRST_MAP_SIZE = 64 << 20
ITEMS_PER_CHECK = 16


@attrs.define
class Environment:
    """An open database file, shared by all readers of a process, as LMDB requires.

    Attributes:
        env: the environment of the lmdb module.
        users: number of open readers.
    """

    env: Any
    users: int = 0


_environments: dict[str, Environment] = {}
_lock = threading.Lock()


class LMDBReader(Reader):
    """A read transaction: it sees the database as it was when opened.

    Args:
        path: folder of the database.

    Raises:
        CafxError: the database is empty or damaged, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._transaction: Any = None
        self._name = str(path.resolve())
        self._file = str(path / FILE)
        try:
            with _lock:
                shared = _environments.get(self._name) or Environment(_open(path))
                self._transaction = shared.env.begin(buffers=True)
                shared.users += 1
                _environments[self._name] = shared
            info, self._count = shared.env.info(), shared.env.stat()["entries"]
        except lmdb.Error as error:
            raise _open_error(path, error) from error
        self._bytes_needed = (info["last_pgno"] + 1) * shared.env.stat()["psize"]
        try:
            self.check_size()
            if not self._count:
                raise empty(path)
        except CafxError:
            self.close()
            raise

    def check_size(self) -> None:
        """Check that the file has not been truncated, since reading unmapped pages would crash the process.

        Raises:
            CafxError: the file is shorter than its pages.
        """
        try:
            size = os.stat(self._file).st_size  # noqa: PTH116 - pathlib takes as long as reading an item
        except FileNotFoundError:  # a removed file stays readable through its mapping
            return
        if size < self._bytes_needed:
            raise damaged(self.path, f"{FILE} is truncated at {size} of {self._bytes_needed} bytes")

    def __len__(self) -> int:
        """The number of items, stored in the file."""
        return int(self._count)

    def items(self, start: int = 0) -> Iterator[Item]:
        """See `Reader`; walks over the keys before ``start``."""
        cursor = self._begun().cursor()
        try:
            at_item = cursor.first()
            for _ in range(start if at_item else 0):
                at_item = cursor.next()
            for number, (key, value) in enumerate(cursor.iternext() if at_item else ()):
                if not number % ITEMS_PER_CHECK:
                    self.check_size()
                yield bytes(key), value
        except lmdb.Error as error:
            raise damaged(self.path, error) from error

    def keys(self) -> Iterator[bytes]:
        """See `Reader`."""
        try:
            for key in self._begun().cursor().iternext(keys=True, values=False):
                yield bytes(key)
        except lmdb.Error as error:
            raise damaged(self.path, error) from error

    def get(self, key: bytes) -> memoryview:
        """See `Reader`."""
        self.check_size()
        try:
            value: memoryview | None = self._begun().get(key)
        except lmdb.Error as error:
            raise damaged(self.path, error) from error
        if value is None:
            raise damaged(self.path, f"key {key!r} is missing")
        return value

    def close(self) -> None:
        """See `Reader`; the last reader closes the file."""
        if self._transaction is None:
            return
        with _lock:
            self._transaction.abort()
            self._transaction = None
            shared = _environments[self._name]
            shared.users -= 1
            if not shared.users:
                shared.env.close()
                del _environments[self._name]

    def _begun(self) -> Any:
        if self._transaction is None:
            raise CafxError("the database is closed", where=str(self.path))
        return self._transaction


class LMDBWriter(Writer):
    """Writes each batch in one transaction; the memory map grows as needed.

    Args:
        path: folder of the database.

    Raises:
        CafxError: the database cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._env = lmdb.open(str(path), map_size=FIRST_MAP_SIZE)
        except lmdb.Error as error:
            raise CafxError(f"cannot be written: {error}", where=str(path)) from error

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """See `Writer`."""
        try:
            while not self._put(items):
                self._env.set_mapsize(2 * self._env.info()["map_size"])
        except lmdb.Error as error:
            raise CafxError(f"cannot be written: {error}", where=str(self.path)) from error

    def _put(self, items: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write a batch; return False if it does not fit in the memory map."""
        try:
            with self._env.begin(write=True) as transaction:
                for key, value in items:
                    transaction.put(key, value)
        except lmdb.MapFullError:
            return False
        return True

    def last_key(self) -> bytes | None:
        """See `Writer`."""
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            return bytes(cursor.key()) if cursor.last() else None

    def close(self) -> None:
        """See `Writer`."""
        self._env.close()


def _open(path: Path) -> Any:
    """Open for reading; locks are used only if the folder is writable, since they need a lock file."""
    return lmdb.open(
        str(path), readonly=True, create=False, readahead=True, max_readers=1024, lock=os.access(path, os.W_OK)
    )


def _open_error(path: Path, error: Exception) -> CafxError:
    if not (path / FILE).stat().st_size:
        return damaged(path, f"{FILE} is empty")
    if isinstance(error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError)):
        return damaged(path, error)
    return CafxError(f"the database cannot be opened: {error}", where=str(path))


class LMDB(Database):
    """A folder with the file ``data.mdb``, as written by Caffe's tools."""

    name = "LMDB"
    mark = FILE
    reader = LMDBReader
    writer = LMDBWriter
