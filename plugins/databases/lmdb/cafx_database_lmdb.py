"""LMDB: databases in one memory-mapped file, values lent without a copy."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import lmdb

from cafx.kernel import CafxError
from cafx_lib_feed.database import Database, Item, Reader, Writer, damaged, empty  # fmt: skip

FILE = "data.mdb"
FIRST_MAP_SIZE = 64 << 20
CHECKED_EVERY = 16


@attrs.define
class Environment:
    """An open database file: a process may open each but once."""

    env: Any
    users: int = 0


_environments: dict[str, Environment] = {}
_lock = threading.Lock()


class LMDBReader(Reader):
    """One read transaction: what it sees stays as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._transaction: Any = None
        self._name = str(path.resolve())
        self._file = str(path / FILE)
        try:
            with _lock:
                held = _environments.get(self._name) or Environment(_open(path))
                self._transaction = held.env.begin(buffers=True)
                held.users += 1
                _environments[self._name] = held
            info, self._count = held.env.info(), held.env.stat()["entries"]
        except lmdb.Error as error:
            raise _refused(path, error) from error
        self._bytes_needed = (info["last_pgno"] + 1) * held.env.stat()["psize"]
        try:
            self.check_whole()
            if not self._count:
                raise empty(path)
        except CafxError:
            self.close()
            raise

    def check_whole(self) -> None:
        """CafxError where the file has become shorter than its pages: reading on would crash."""
        try:
            size = os.stat(self._file).st_size  # noqa: PTH116 - pathlib's costs as much as reading an item
        except FileNotFoundError:  # removed under way: what is mapped stays readable
            return
        if size < self._bytes_needed:
            raise damaged(self.path, f"{FILE} is cut off at {size} of {self._bytes_needed} bytes")

    def __len__(self) -> int:
        """The number of items, which the file states."""
        return int(self._count)

    def items(self, start: int = 0) -> Iterator[Item]:
        """See `Reader`; a position is found by walking the keys."""
        cursor = self._begun().cursor()
        try:
            found = cursor.first()
            for _ in range(start if found else 0):
                found = cursor.next()
            for number, (key, value) in enumerate(cursor.iternext() if found else ()):
                if not number % CHECKED_EVERY:
                    self.check_whole()
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
        self.check_whole()
        try:
            value: memoryview | None = self._begun().get(key)
        except lmdb.Error as error:
            raise damaged(self.path, error) from error
        if value is None:
            raise damaged(self.path, f"key {key!r} has gone")
        return value

    def close(self) -> None:
        """See `Reader`; the file is closed with its last reader."""
        if self._transaction is None:
            return
        with _lock:
            self._transaction.abort()
            self._transaction = None
            held = _environments[self._name]
            held.users -= 1
            if not held.users:
                held.env.close()
                del _environments[self._name]

    def _begun(self) -> Any:
        if self._transaction is None:
            raise CafxError("the database was closed", where=str(self.path))
        return self._transaction


class LMDBWriter(Writer):
    """Each batch is one transaction; the map grows as it must."""

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
        """Write one batch, if the map has room for it."""
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
    """The environment for reading: its lock file is used where one may be written."""
    return lmdb.open(
        str(path), readonly=True, create=False, readahead=True, max_readers=1024,
        lock=os.access(path, os.W_OK),
    )  # fmt: skip


def _refused(path: Path, error: Exception) -> CafxError:
    if not (path / FILE).stat().st_size:
        return damaged(path, f"{FILE} has no bytes")
    if isinstance(error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError)):
        return damaged(path, error)
    return CafxError(f"the database cannot be opened: {error}", where=str(path))


class LMDB(Database):
    """A folder with ``data.mdb``, as Caffe's tools write it."""

    name = "LMDB"
    mark = FILE
    reader = LMDBReader
    writer = LMDBWriter
