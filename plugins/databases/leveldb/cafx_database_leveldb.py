"""LevelDB: read without touching what is there, by any number of readers."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import plyvel

from cafx.kernel import CafxError
from cafx_lib_feed.database import Database, Item, Reader, Writer, damaged, empty  # fmt: skip

CURRENT, LOCK = "CURRENT", "LOCK"
TABLES, LOG = (".ldb", ".sst"), ".log"
BLOCK_SIZE = 65536
BLOCK, HEADER = 32768, 7
ZEROS, WHOLE, LAST = 0, 1, 4
WRITE_BUFFER = 256 << 20
OPEN_FILES = 100
CHECKED_EVERY = 16
_written: set[str] = set()


class LevelDBReader(Reader):
    """Reads by way of a temporary folder of links; values are copied (and checked) by who wants them.

    LevelDB writes to a database it opens and lets but one process open it. Through links to its
    files (which never change once written) the database itself stays as it is, may lie where
    nothing can be written, and has as many readers as like to.
    """

    lends = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._count: int | None = None
        self._reads = 0
        self._db: Any = None
        _check_unlocked(path)
        _check_log(path)
        self._links = Path(tempfile.mkdtemp(prefix="cafx-leveldb-"))
        try:
            _link(path, self._links)
            self._sizes = {each: each.stat().st_size for each in self._links.glob(f"*{TABLES[-1]}")}
            self._db = plyvel.DB(str(self._links), max_open_files=OPEN_FILES, paranoid_checks=True)
            if next(self.keys(), None) is None:
                raise empty(path)
        except (plyvel.Error, OSError) as error:
            self.close()
            raise damaged(path, _text(error).replace(str(self._links), str(path))) from error
        except CafxError:
            self.close()
            raise

    def __len__(self) -> int:
        """The number of items, counted once by walking the keys."""
        if self._count is None:
            self._count = sum(1 for _ in self.keys())
        return self._count

    def items(self, start: int = 0) -> Iterator[Item]:
        """See `Reader`; a position is found by walking the keys."""
        first = next(itertools.islice(self.keys(), start, None), None) if start else b""
        if first is None:
            return
        items = self._opened().iterator(start=first, verify_checksums=True, fill_cache=False)
        for key, value in self._checked(items):
            yield key, memoryview(value)

    def keys(self) -> Iterator[bytes]:
        """See `Reader`."""
        yield from self._checked(self._opened().iterator(include_value=False, fill_cache=False))

    def get(self, key: bytes) -> memoryview:
        """See `Reader`."""
        self._check_whole()
        try:
            value = self._opened().get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise damaged(self.path, _text(error)) from error
        if value is None:
            raise damaged(self.path, f"key {key!r} has gone")
        return memoryview(value)

    def _checked(self, reads: Iterator[Any]) -> Iterator[Any]:
        """What is read, LevelDB's errors as ours."""
        try:
            self._check_whole()
            for found in reads:
                yield found
                self._check_whole()
        except (plyvel.Error, OSError) as error:
            raise damaged(self.path, _text(error)) from error

    def _check_whole(self) -> None:
        """CafxError where a table has become shorter, which LevelDB maps into memory: reading on would crash.

        As many looks at files as there are reads, whatever the number of tables.
        """
        self._reads -= 1
        if self._reads > 0:
            return
        self._reads = max(CHECKED_EVERY, len(self._sizes))
        for table, size in self._sizes.items():
            try:
                now = os.stat(table).st_size  # noqa: PTH116 - pathlib's costs several times as much
            except FileNotFoundError:  # removed under way: what is mapped stays readable
                continue
            if now < size:
                raise damaged(self.path, f"{table.resolve().name} is cut off at {now} of {size} bytes")

    def close(self) -> None:
        """See `Reader`; the links go too."""
        if self._db is not None:
            self._db.close()
            self._db = None
        shutil.rmtree(self._links, ignore_errors=True)

    def _opened(self) -> Any:
        if self._db is None:
            raise CafxError("the database was closed", where=str(self.path))
        return self._db


def _text(error: Exception) -> str:
    """What LevelDB says, which plyvel hands on as bytes."""
    held = error.args[0] if error.args else ""
    return held.decode("utf-8", "backslashreplace") if isinstance(held, bytes) else str(error)


class LevelDBWriter(Writer):
    """Each batch is one atomic write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()
        _written.add(str(path.resolve()))

    def _open(self) -> None:
        try:
            self._db = plyvel.DB(
                str(self.path), create_if_missing=True, write_buffer_size=WRITE_BUFFER,
                block_size=BLOCK_SIZE, max_open_files=OPEN_FILES,
            )  # fmt: skip
        except (plyvel.Error, OSError) as error:
            raise CafxError(f"cannot be written: {error}", where=str(self.path)) from error

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """See `Writer`."""
        try:
            with self._db.write_batch(transaction=True) as batch:
                for key, value in items:
                    batch.put(key, value)
        except (plyvel.Error, OSError) as error:
            raise CafxError(f"cannot be written: {error}", where=str(self.path)) from error

    def last_key(self) -> bytes | None:
        """See `Writer`."""
        found: bytes | None = next(self._db.iterator(reverse=True, include_value=False), None)
        return found

    def close(self) -> None:
        """See `Writer`; opened once more, LevelDB makes tables of its log, which readers need not sort."""
        if self._db.closed:
            return
        self._db.close()
        try:
            self._open()
            self._db.close()
        finally:
            _written.discard(str(self.path.resolve()))


def _check_unlocked(path: Path) -> None:
    """CafxError where somebody is writing: LevelDB's lock is a lock of the file LOCK."""
    held = str(path.resolve()) in _written
    if not held and (path / LOCK).is_file() and os.access(path / LOCK, os.R_OK):
        with (path / LOCK).open("rb") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                held = error.errno in (errno.EACCES, errno.EAGAIN)
    if held:
        raise CafxError(
            "the database is locked: another program is writing it", where=str(path),
            remedy="wait for it to finish",
        )  # fmt: skip


def _check_log(path: Path) -> None:
    """CafxError where a log ends in the middle of a record: LevelDB would leave the rest out without a word."""
    for log in path.glob(f"*{LOG}"):
        kind = WHOLE
        with log.open("rb") as file:
            size, position = os.fstat(file.fileno()).st_size, 0
            while position < size:
                left = BLOCK - position % BLOCK
                header = os.pread(file.fileno(), HEADER, position) if left >= HEADER else b""
                length = int.from_bytes(header[4:6], "little")
                if not header or header == bytes(HEADER):
                    position += left
                    continue
                position += HEADER + length
                kind = header[-1]
        if (position > size and header) or kind not in (ZEROS, WHOLE, LAST):
            raise damaged(path, f"{log.name} is cut off at {size} bytes")


def _link(path: Path, links: Path) -> None:
    """What LevelDB reads as links, what it rewrites as copies.

    Tables get the ending .sst, which LevelDB reads but never writes: a table that a writer left
    unfinished has the number that the next new table takes, and would be written through its link.
    """
    for each in path.iterdir():
        if each.suffix in TABLES:
            (links / each.with_suffix(TABLES[-1]).name).symlink_to(each.resolve())
        elif each.suffix == LOG:
            (links / each.name).symlink_to(each.resolve())
        elif each.name == CURRENT or each.name.startswith("MANIFEST-"):
            (links / each.name).write_bytes(each.read_bytes())


class LevelDB(Database):
    """A folder with ``CURRENT``, as Caffe's tools write it."""

    name = "LEVELDB"
    mark = CURRENT
    reader = LevelDBReader
    writer = LevelDBWriter
