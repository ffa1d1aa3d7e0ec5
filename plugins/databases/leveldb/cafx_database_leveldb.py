"""LevelDB: read without modifying the database, by any number of readers."""

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

from cafx.kernel import CafxError
from cafx.kernel.files import open_file, read_file
from cafx_lib_feed.database import Database, Item, Reader, Writer, damaged, empty

try:
    import plyvel
except ImportError as error:
    raise CafxError(
        f"LevelDB needs plyvel, which cannot be imported ({error})",
        expected="Linux on x86-64 and Python 3.11 or 3.12, for which it has wheels",
        remedy="build it with LevelDB's headers: pip install plyvel; or use an LMDB",
    ) from error

CURRENT, LOCK = "CURRENT", "LOCK"
TABLES, LOG = (".ldb", ".sst"), ".log"
TABLE_BLOCK_SIZE = 65536
LOG_BLOCK_SIZE, LOG_HEADER_SIZE = 32768, 7
LOG_ZERO, LOG_FULL, LOG_LAST = 0, 1, 4
WRITE_BUFFER = 256 << 20
MAX_OPEN_FILES = 100
READS_PER_CHECK = 16
_being_written: set[str] = set()


class LevelDBReader(Reader):
    """Reads through a temporary folder of symbolic links; values are checksummed copies.

    LevelDB modifies a database when it opens it, and allows only one process to do so. Its table files never
    change once written, so opening links to them leaves the database unmodified, works on read-only file
    systems, and allows any number of readers.

    Args:
        path: folder of the database.

    Raises:
        CafxError: the database is empty, damaged, or being written.
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
            self._db = plyvel.DB(str(self._links), max_open_files=MAX_OPEN_FILES, paranoid_checks=True)
            if next(self.keys(), None) is None:
                raise empty(path)
        except (plyvel.Error, OSError) as error:
            self.close()
            raise damaged(path, _message(error).replace(str(self._links), str(path))) from error
        except CafxError:
            self.close()
            raise

    def __len__(self) -> int:
        """The number of items; the first call walks over all keys."""
        if self._count is None:
            self._count = sum(1 for _ in self.keys())
        return self._count

    def items(self, start: int = 0) -> Iterator[Item]:
        """See `Reader`; walks over the keys before ``start``."""
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
        self._check_sizes()
        try:
            value = self._opened().get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise damaged(self.path, _message(error)) from error
        if value is None:
            raise damaged(self.path, f"key {key!r} is missing")
        return memoryview(value)

    def _checked(self, reads: Iterator[Any]) -> Iterator[Any]:
        """Iterate over ``reads``, converting LevelDB's errors."""
        try:
            self._check_sizes()
            for item in reads:
                yield item
                self._check_sizes()
        except (plyvel.Error, OSError) as error:
            raise damaged(self.path, _message(error)) from error

    def _check_sizes(self) -> None:
        """Check that no table has been truncated: LevelDB maps tables, and reading unmapped pages would crash.

        The interval grows with the number of tables, so that on average a read checks one file at most.
        """
        self._reads -= 1
        if self._reads > 0:
            return
        self._reads = max(READS_PER_CHECK, len(self._sizes))
        for table, size in self._sizes.items():
            try:
                current = os.stat(table).st_size  # noqa: PTH116 - pathlib takes several times as long
            except FileNotFoundError:  # a removed file stays readable through its mapping
                continue
            if current < size:
                raise damaged(self.path, f"{table.resolve().name} is truncated at {current} of {size} bytes")

    def close(self) -> None:
        """See `Reader`; also removes the links."""
        if self._db is not None:
            self._db.close()
            self._db = None
        shutil.rmtree(self._links, ignore_errors=True)

    def _opened(self) -> Any:
        if self._db is None:
            raise CafxError("the database is closed", where=str(self.path))
        return self._db


def _message(error: Exception) -> str:
    """The message of LevelDB's error, which plyvel passes on as bytes."""
    message = error.args[0] if error.args else ""
    return message.decode("utf-8", "backslashreplace") if isinstance(message, bytes) else str(error)


class LevelDBWriter(Writer):
    """Writes each batch in one atomic write.

    Args:
        path: folder of the database.

    Raises:
        CafxError: the database cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()
        _being_written.add(str(path.resolve()))

    def _open(self) -> None:
        try:
            self._db = plyvel.DB(
                str(self.path),
                create_if_missing=True,
                write_buffer_size=WRITE_BUFFER,
                block_size=TABLE_BLOCK_SIZE,
                max_open_files=MAX_OPEN_FILES,
            )
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
        key: bytes | None = next(self._db.iterator(reverse=True, include_value=False), None)
        return key

    def close(self) -> None:
        """See `Writer`; opening once more makes LevelDB convert its log to tables, which are faster to read."""
        if self._db.closed:
            return
        self._db.close()
        try:
            self._open()
            self._db.close()
        finally:
            _being_written.discard(str(self.path.resolve()))


def _check_unlocked(path: Path) -> None:
    """Check that no writer has the database open; LevelDB's writers lock the file LOCK."""
    locked = str(path.resolve()) in _being_written
    if not locked and (path / LOCK).is_file() and os.access(path / LOCK, os.R_OK):
        with (path / LOCK).open("rb") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                locked = error.errno in (errno.EACCES, errno.EAGAIN)
    if locked:
        raise CafxError(
            "the database is locked: another program is writing it", where=str(path), remedy="wait for it to finish"
        )


def _check_log(path: Path) -> None:
    """Check that no log ends in the middle of a record, which LevelDB would silently drop.

    A log is a sequence of blocks of records; a record has a checksum, a length and a kind (full, or first,
    middle or last part). The end of a block too short for a header, or zeros, is padding.
    """
    for log in path.glob(f"*{LOG}"):
        kind = LOG_FULL
        with open_file(log) as file:
            size, position = os.fstat(file.fileno()).st_size, 0
            while position < size:
                left = LOG_BLOCK_SIZE - position % LOG_BLOCK_SIZE
                header = os.pread(file.fileno(), LOG_HEADER_SIZE, position) if left >= LOG_HEADER_SIZE else b""
                length = int.from_bytes(header[4:6], "little")
                if not header or header == bytes(LOG_HEADER_SIZE):
                    position += left
                    continue
                position += LOG_HEADER_SIZE + length
                kind = header[-1]
        if (position > size and header) or kind not in (LOG_ZERO, LOG_FULL, LOG_LAST):
            raise damaged(path, f"{log.name} is truncated at {size} bytes")


def _link(path: Path, links: Path) -> None:
    """Link the files that LevelDB only reads and copy those that it rewrites.

    Links to tables have the suffix .sst, which LevelDB reads but never writes. Otherwise, LevelDB could
    overwrite a table left unfinished by a writer through its link, since a new table reuses its number.
    """
    for each in path.iterdir():
        if each.suffix in TABLES:
            (links / each.with_suffix(TABLES[-1]).name).symlink_to(each.resolve())
        elif each.suffix == LOG:
            (links / each.name).symlink_to(each.resolve())
        elif each.name == CURRENT or each.name.startswith("MANIFEST-"):
            (links / each.name).write_bytes(read_file(each))


class LevelDB(Database):
    """A folder with the file ``CURRENT``, as written by Caffe's tools."""

    name = "LEVELDB"
    mark = CURRENT
    reader = LevelDBReader
    writer = LevelDBWriter
