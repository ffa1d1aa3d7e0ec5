"""The conformance suite of databases: the requirements on every kind, first-party or not.

>>> TestLMDB = database_suite("LMDB")
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cafx.kernel import CafxError, Registry, registry
from cafx_lib_feed.database import Reader, open_database

ITEMS = [(b"%04d" % i, bytes([i]) * (100 + i)) for i in range(20)]
LARGE, MANY = 1 << 20, 100
UNFINISHED = """
    import os
    from cafx.kernel import registry
    writer = registry().load("database", {name!r}).create({path!r})
    writer.put([(b"%04d" % i, b"value") for i in range(10)])
    os._exit(0)
"""


class DatabaseSuite:
    """Tests of one kind of database.

    Class attributes:
        name: the kind's name in group ``cafx.databases``.
        plugins: the registry that provides it.
    """

    name: ClassVar[str]
    plugins: ClassVar[Registry]

    @classmethod
    def kind(cls) -> Any:
        """The class under test."""
        return cls.plugins.load("database", cls.name)

    def write(self, tmp_path: Path, items: list[tuple[bytes, bytes]] | None = None) -> Path:
        """A database with items, written in two unordered batches."""
        items = ITEMS if items is None else items
        half = len(items) // 2
        with self.kind().create(tmp_path / "db") as writer:
            writer.put(items[half:])
            writer.put(items[:half])
        return tmp_path / "db"

    def read(self, path: Path) -> list[tuple[bytes, bytes]]:
        """All items of a database."""
        with self.kind().open(path) as reader:
            return [(key, bytes(value)) for key, value in reader.items()]

    def test_databases_are_recognised_by_their_files(self, tmp_path: Path) -> None:
        """The entry point, ``name`` and ``recognises`` are consistent."""
        path = self.write(tmp_path)
        assert self.kind().name == self.name
        assert self.kind().recognises(path)
        assert not self.kind().recognises(tmp_path)
        with open_database(path, plugins=self.plugins) as reader:
            assert isinstance(reader, self.kind().reader)

    def test_items_are_ordered_by_key_and_start_anywhere(self, tmp_path: Path) -> None:
        """``items``, ``keys``, ``get``, ``len`` and ``forever``."""
        assert self.read(self.write(tmp_path)) == ITEMS
        with self.kind().open(tmp_path / "db") as reader:
            assert len(reader) == len(ITEMS)
            for start in (1, 15, 19, 20):
                assert [key for key, _ in reader.items(start)] == [key for key, _ in ITEMS[start:]]
            assert list(reader.keys()) == [key for key, _ in ITEMS]
            assert [bytes(reader.get(key)) for key, _ in ITEMS] == [value for _, value in ITEMS]
            numbers = [int(key) for key, _ in itertools.islice(reader.forever(18 + 40), 24)]
        assert numbers == [*range(18, 20), *range(20), 0, 1]

    def test_values_stay_valid_while_the_reader_is_open(self, tmp_path: Path) -> None:
        """Prefetching threads read them later."""
        with self.kind().open(self.write(tmp_path)) as reader:
            values = [value for _, value in reader.items()]
            assert all(isinstance(value, memoryview) for value in values)
            assert [bytes(value) for value in values] == [value for _, value in ITEMS]

    def test_threads_share_a_reader(self, tmp_path: Path) -> None:
        """Depending on ``lends``: threads read lent values, or get values themselves."""
        with self.kind().open(self.write(tmp_path)) as reader:
            lent = dict(reader.items()) if reader.lends else {}
            get = lent.__getitem__ if reader.lends else reader.get
            with ThreadPoolExecutor(4) as pool:
                correct = list(pool.map(lambda item: bytes(get(item[0])) == item[1], ITEMS * 50))
        assert all(correct)

    def test_readers_are_independent(self, tmp_path: Path) -> None:
        """Any number can be open, and closing one does not affect another."""
        path = self.write(tmp_path)
        with self.kind().open(path) as one:
            with self.kind().open(path) as two:
                pairs = zip(one.items(), two.items(), strict=True)
                assert all(bytes(mine[1]) == bytes(other[1]) for mine, other in pairs)
            assert len(list(one.keys())) == len(ITEMS)

    def test_a_closed_reader_raises_an_error_and_can_be_closed_again(self, tmp_path: Path) -> None:
        """Using it must neither crash nor return wrong values."""
        reader: Reader = self.kind().open(self.write(tmp_path))
        reader.close()
        reader.close()
        for use in (lambda: next(reader.items()), lambda: next(reader.keys()), lambda: reader.get(b"0001")):
            with pytest.raises(CafxError, match="closed"):
                use()

    def test_a_database_is_not_overwritten_but_can_be_appended_to(self, tmp_path: Path) -> None:
        """``create`` with and without ``append``; ``last_key`` tells where to resume."""
        with self.kind().create(tmp_path / "db", append=True) as writer:
            assert writer.last_key() is None
            writer.put(ITEMS[10:])
            writer.put(ITEMS[:10])
            assert writer.last_key() == ITEMS[-1][0]
        with pytest.raises(CafxError, match="already exists"):
            self.kind().create(tmp_path / "db")
        with self.kind().create(tmp_path / "db", append=True) as writer:
            assert writer.last_key() == ITEMS[-1][0]
            writer.put([(b"0020", b"x"), (b"0000", b"new")])
        with self.kind().open(tmp_path / "db") as reader:
            assert len(reader) == len(ITEMS) + 1
            assert bytes(reader.get(b"0000")) == b"new"
        with pytest.raises(CafxError, match="parent folder does not exist"):
            self.kind().create(tmp_path / "none" / "db")

    def test_a_batch_is_written_completely_or_not_at_all(self, tmp_path: Path) -> None:
        """A failed ``put`` leaves nothing behind."""
        wrong: Any = [(b"9998", b"first"), (b"9999", object())]
        with self.kind().create(tmp_path / "db") as writer:
            writer.put(ITEMS)
            with pytest.raises(Exception):  # noqa: B017 - the error depends on the library
                writer.put(wrong)
        with self.kind().open(tmp_path / "db") as reader:
            assert list(reader.keys()) == [key for key, _ in ITEMS]

    def test_written_items_survive_a_process_that_does_not_close_the_database(self, tmp_path: Path) -> None:
        """A killed tool can be resumed."""
        path = str(tmp_path / "db")
        script = textwrap.dedent(UNFINISHED).format(name=self.name, path=path)
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        with self.kind().create(path, append=True) as writer:
            assert writer.last_key() == b"0009"
        with self.kind().open(path) as reader:
            assert len(reader) == 10

    def test_a_database_grows_to_100_mib(self, tmp_path: Path) -> None:
        """Batches may be larger than an initial map size."""
        value = bytes(LARGE)
        with self.kind().create(tmp_path / "db") as writer:
            for first in range(0, MANY, MANY // 2):
                writer.put([(b"%04d" % i, value) for i in range(first, first + MANY // 2)])
        with self.kind().open(tmp_path / "db") as reader:
            assert len(reader) == MANY
            assert all(len(value) == LARGE for _, value in reader.items())

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        """A missing path, a file, an empty folder and a database without items."""
        (tmp_path / "file").write_bytes(b"no")
        (tmp_path / "folder").mkdir()
        empty = self.write(tmp_path, [])
        messages = {"none": "no database", "file": "not a database", "folder": "not a database", empty.name: "empty"}
        for name, message in messages.items():
            path = tmp_path / name
            with pytest.raises(CafxError, match=message) as caught:
                self.kind().open(path)
            assert str(path) in str(caught.value)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
    def test_a_truncated_database_is_refused(self, tmp_path: Path, share: float) -> None:
        """An incomplete copy must not pass for a smaller database."""
        path = self.write(tmp_path, [(key, value * 50) for key, value in ITEMS])
        largest = max(path.rglob("*"), key=lambda each: each.stat().st_size)
        with largest.open("r+b") as file:
            file.truncate(int(largest.stat().st_size * share))
        with pytest.raises(CafxError) as caught:
            self.read(path)
        assert str(path) in str(caught.value)


def database_suite(name: str, plugins: Registry | None = None) -> type[DatabaseSuite]:
    """A pytest class that tests one kind of database.

    Args:
        name: the kind's name in group ``cafx.databases``.
        plugins: the registry that provides it (default: all installed plugins).
    """
    return type(f"Test{name}", (DatabaseSuite,), {"name": name, "plugins": plugins or registry()})
