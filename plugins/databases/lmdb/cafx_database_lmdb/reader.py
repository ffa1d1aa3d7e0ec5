"""Reading LMDB: values are views of the mapped file."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import lmdb

from cafx.kernel import CafxError
from cafx_database_lmdb.files import FILE, latest_meta, may_lock, open_error
from cafx_database_lmdb.pages import Damaged, count_items, current, read_metas
from cafx_lib_feed.database import Item, Reader, damaged, empty

ITEMS_PER_CHECK = 16


@attrs.define
class Environment:
    """An open database file, shared by all readers of a process, as LMDB requires.

    Attributes:
        env: the environment of the lmdb module.
        users: number of open readers.
        checked: the transaction of which all pages have been checked, and its number of items.
    """

    env: Any
    users: int = 0
    checked: tuple[int, int] = (-1, 0)


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
        latest_meta(path)
        try:
            with _lock:
                shared = _environments.get(self._name) or Environment(_open(path))
                self._transaction = shared.env.begin(buffers=True)
                shared.users += 1
                _environments[self._name] = shared
        except lmdb.Error as error:
            raise open_error(path, error) from error
        try:
            self._count, self._bytes_needed = self._checked(shared)
            self.check_lent()
            if not self._count:
                raise empty(path)
        except CafxError:
            self.close()
            raise

    def _checked(self, shared: Environment) -> tuple[int, int]:
        """The number of items and of bytes of the transaction, after checking each of its pages once."""
        transaction = self._transaction.id()
        try:
            meta = current(read_metas(Path(self._file)), transaction)
            if shared.checked[0] != transaction:
                shared.checked = transaction, count_items(Path(self._file), meta)
        except Damaged as error:
            raise damaged(self.path, f"{FILE}: {error}") from None
        return shared.checked[1], (meta.last_page + 1) * meta.page_size

    def check_lent(self) -> None:
        """See `Reader`: reading pages behind the end of a file would end the process."""
        try:
            size = os.stat(self._file).st_size  # noqa: PTH116 - pathlib takes as long as reading an item
        except FileNotFoundError:  # a removed file stays readable through its mapping
            return
        if size < self._bytes_needed:
            raise damaged(self.path, f"{FILE} is truncated at {size} of {self._bytes_needed} bytes")

    def __len__(self) -> int:
        """The number of items."""
        return int(self._count)

    def items(self, start: int = 0) -> Iterator[Item]:
        """See `Reader`; walks over the keys before ``start``."""
        self.check_lent()
        copied = ((bytes(key), value) for key, value in self._steps())
        yield from itertools.islice(self._checked_often(copied), start, None)

    def keys(self) -> Iterator[bytes]:
        """See `Reader`."""
        self.check_lent()
        yield from self._checked_often(map(bytes, self._steps(values=False)))

    def _steps(self, **what: bool) -> Iterator[Any]:
        """The steps of a new cursor, begun at the first of them: beginning reads pages, and may fail like any step."""
        yield from self._begun().cursor().iternext(**what)

    def _checked_often(self, steps: Iterable[Any]) -> Iterator[Any]:
        """The steps of a cursor, taken a few at a time, each time after checking the size of the file."""
        walk = iter(steps)
        try:
            while True:
                self.check_lent()
                few = list(itertools.islice(walk, ITEMS_PER_CHECK))
                yield from few
                if len(few) < ITEMS_PER_CHECK:
                    return
        except lmdb.Error as error:
            raise damaged(self.path, error) from error

    def get(self, key: bytes) -> memoryview:
        """See `Reader`."""
        self.check_lent()
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


def _open(path: Path) -> Any:
    """Open for reading, with locks where there may be a lock file."""
    return lmdb.open(str(path), readonly=True, create=False, readahead=True, max_readers=1024, lock=may_lock(path))
