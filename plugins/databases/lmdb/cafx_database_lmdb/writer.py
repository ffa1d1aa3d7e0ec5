"""Writing LMDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lmdb

from cafx.kernel import CafxError
from cafx_database_lmdb.files import FILE, LOCK, latest_meta, may_lock, write_error
from cafx_database_lmdb.pages import Damaged, check_free_pages, count_items
from cafx_lib_feed.database import Writer, damaged

FIRST_MAP_SIZE = 64 << 20


class LMDBWriter(Writer):
    """Writes each batch in one transaction; the memory map grows as needed.

    A batch in a database that exists is on disk when `put` returns. A new database is flushed once, by `close`, which
    takes a fifth of the time: until then it survives the end of the process, but not that of the machine.

    Args:
        path: folder of the database.

    Raises:
        CafxError: the database cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check(path)
        self._is_new = not (path / FILE).exists()
        try:
            self._env = lmdb.open(str(path), map_size=FIRST_MAP_SIZE, sync=not self._is_new)
        except lmdb.Error as error:
            raise write_error(path, error) from error

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """See `Writer`."""
        try:
            while not self._put(items):
                self._env.set_mapsize(2 * self._env.info()["map_size"])
        except lmdb.Error as error:
            raise write_error(self.path, error) from error

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
        try:
            if self._is_new:
                self._env.sync(True)
        except lmdb.Error as error:
            raise write_error(self.path, error) from error
        finally:
            self._is_new = False
            self._env.close()


def _check(path: Path) -> None:
    """Check all pages of a database that exists: a wrong one could end the process, or be written over."""
    if not (path / FILE).exists():
        return
    meta = latest_meta(path)
    try:
        count_items(path / FILE, meta)
        check_free_pages(path / FILE, meta)
    except Damaged as error:
        raise damaged(path, f"{FILE}: {error}") from None
    if not may_lock(path):
        raise CafxError(f"cannot be written: {LOCK} is no file of this folder", where=str(path))
