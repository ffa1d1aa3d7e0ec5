"""Several databases read as one: the parts that ``cafx convert-imageset --shards`` writes, for example."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_feed.database import Item, Reader

SEPARATOR = ","


def database_paths(source: str) -> list[str]:
    """The databases that a source names: a path, a pattern, or several of them separated by commas.

    A path that exists is that database, whatever characters it has. What a pattern matches is sorted by name.

    Args:
        source: a Data layer's ``source``.

    Raises:
        CafxError: nothing matches a pattern, or a part is empty.

    Example:
        >>> database_paths("first_lmdb,second_lmdb")
        ['first_lmdb', 'second_lmdb']
    """
    if os.path.lexists(source):
        return [source]
    return [path for part in source.split(SEPARATOR) for path in _matching(part.strip(), source)]


def _matching(part: str, source: str) -> list[str]:
    if not part:
        raise CafxError("an empty name in a list of databases", found=shown(source), expected="names between commas")
    if os.path.lexists(part) or not glob.has_magic(part):
        return [part]
    found = sorted(glob.glob(part))  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise CafxError(f"no database matches '{shown(part)}'", remedy=f"check the folder '{Path(part).parent}'")
    return found


def open_all(source: str, open_one: Callable[[str], Reader]) -> Reader:
    """Open the databases that a source names; several of them as one.

    Args:
        source: see `database_paths`.
        open_one: opens a database, e.g. ``Database.open``.

    Raises:
        CafxError: as `database_paths` and ``open_one``.
    """
    paths = database_paths(source)
    if len(paths) == 1:
        return open_one(paths[0])
    with ExitStack() as opened:
        readers = [opened.enter_context(open_one(path)) for path in paths]
        opened.pop_all()
    return Shards(readers)


class ShardKey(bytes):
    """A key and the number of its database, since databases may have equal keys."""

    shard: int

    @classmethod
    def of(cls, key: bytes, shard: int) -> ShardKey:
        """A key of a database."""
        made = cls(key)
        made.shard = shard
        return made


class Shards(Reader):
    """Databases one after the other, in the given order; each is ordered by its own keys.

    Args:
        readers: the databases, all of one kind.
    """

    def __init__(self, readers: list[Reader]) -> None:
        self.readers = readers
        self.path = readers[0].path
        self.lends = readers[0].lends  # type: ignore[misc]  # depends on the kind

    def __len__(self) -> int:
        """See `Reader`."""
        return sum(len(each) for each in self.readers)

    def items(self, start: int = 0) -> Iterator[Item]:
        """See `Reader`."""
        for number, reader, skip in self._from(start):
            for key, value in reader.items(skip):
                yield ShardKey.of(key, number), value

    def keys(self) -> Iterator[bytes]:
        """See `Reader`."""
        for number, reader in enumerate(self.readers):
            yield from map(ShardKey.of, reader.keys(), itertools.repeat(number))

    def get(self, key: bytes) -> memoryview:
        """See `Reader`; a key that does not come from this reader is looked up in the first database."""
        return self.readers[getattr(key, "shard", 0)].get(bytes(key))

    def check_lent(self) -> None:
        """See `Reader`."""
        for each in self.readers:
            each.check_lent()

    def close(self) -> None:
        """See `Reader`."""
        with ExitStack() as closing:
            for each in self.readers:
                closing.callback(each.close)

    def _from(self, start: int) -> Iterator[tuple[int, Reader, int]]:
        """The databases that have items from number ``start`` on, each with the number of items to skip."""
        for number, reader in enumerate(self.readers):
            if start and start >= len(reader):
                start -= len(reader)
                continue
            yield number, reader, start
            start = 0
