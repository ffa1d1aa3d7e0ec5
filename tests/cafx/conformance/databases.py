"""What every kind of database is held to, first-party or not: the promises of `Reader` and `Writer`.

TestLMDB = database_suite("LMDB")
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
    """The tests, for the kind of database that a subclass names.

    Class attributes:
        name: what ``cafx.databases`` calls it.
        plugins: where it is looked up.
    """

    name: ClassVar[str]
    plugins: ClassVar[Registry]

    @classmethod
    def kind(cls) -> Any:
        """The class under test."""
        return cls.plugins.load("database", cls.name)

    def made(self, tmp_path: Path, items: list[tuple[bytes, bytes]] | None = None) -> Path:
        """A database with items, written in two batches that are not in order."""
        items = ITEMS if items is None else items
        half = len(items) // 2
        with self.kind().create(tmp_path / "db") as writer:
            writer.put(items[half:])
            writer.put(items[:half])
        return tmp_path / "db"

    def read(self, path: Path) -> list[tuple[bytes, bytes]]:
        """All that a database holds."""
        with self.kind().open(path) as reader:
            return [(key, bytes(value)) for key, value in reader.items()]

    def test_it_is_a_plugin_known_by_its_files(self, tmp_path: Path) -> None:
        """The entry point, ``name`` and ``recognises`` agree."""
        path = self.made(tmp_path)
        assert self.kind().name == self.name
        assert self.kind().recognises(path)
        assert not self.kind().recognises(tmp_path)
        with open_database(path, plugins=self.plugins) as reader:
            assert isinstance(reader, self.kind().reader)

    def test_items_come_in_the_order_of_their_keys_from_any_position_and_round(self, tmp_path: Path) -> None:
        """``items``, ``keys``, ``get``, ``len`` and ``forever``."""
        assert self.read(self.made(tmp_path)) == ITEMS
        with self.kind().open(tmp_path / "db") as reader:
            assert len(reader) == len(ITEMS)
            for start in (1, 15, 19, 20):
                assert [key for key, _ in reader.items(start)] == [key for key, _ in ITEMS[start:]]
            assert list(reader.keys()) == [key for key, _ in ITEMS]
            assert [bytes(reader.get(key)) for key, _ in ITEMS] == [value for _, value in ITEMS]
            numbers = [int(key) for key, _ in itertools.islice(reader.forever(18 + 40), 24)]
        assert numbers == [*range(18, 20), *range(20), 0, 1]

    def test_values_hold_while_the_reader_is_open(self, tmp_path: Path) -> None:
        """Prefetching threads look at them later."""
        with self.kind().open(self.made(tmp_path)) as reader:
            held = [value for _, value in reader.items()]
            assert all(isinstance(value, memoryview) for value in held)
            assert [bytes(value) for value in held] == [value for _, value in ITEMS]

    def test_threads_share_a_reader(self, tmp_path: Path) -> None:
        """As ``lends`` says: looking at lent values, or each getting its own."""
        with self.kind().open(self.made(tmp_path)) as reader:
            lent = dict(reader.items()) if reader.lends else {}
            get = lent.__getitem__ if reader.lends else reader.get
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda item: bytes(get(item[0])) == item[1], ITEMS * 50))
        assert all(found)

    def test_readers_do_not_disturb_each_other(self, tmp_path: Path) -> None:
        """Any number may be open, and one may be closed before another."""
        path = self.made(tmp_path)
        with self.kind().open(path) as one:
            with self.kind().open(path) as two:
                pairs = zip(one.items(), two.items(), strict=True)
                assert all(bytes(mine[1]) == bytes(other[1]) for mine, other in pairs)
            assert len(list(one.keys())) == len(ITEMS)

    def test_a_closed_reader_says_so_and_may_be_closed_again(self, tmp_path: Path) -> None:
        """A crash, or silence, would be worse."""
        reader: Reader = self.kind().open(self.made(tmp_path))
        reader.close()
        reader.close()
        for use in (lambda: next(reader.items()), lambda: next(reader.keys()), lambda: reader.get(b"0001")):
            with pytest.raises(CafxError, match="closed"):
                use()

    def test_a_database_is_not_written_over_but_may_be_added_to(self, tmp_path: Path) -> None:
        """``create`` with and without ``append``; ``last_key`` is where a tool goes on."""
        with self.kind().create(tmp_path / "db", append=True) as writer:
            assert writer.last_key() is None
            writer.put(ITEMS[10:])
            writer.put(ITEMS[:10])
            assert writer.last_key() == ITEMS[-1][0]
        with pytest.raises(CafxError, match="already exists"):
            self.kind().create(tmp_path / "db")
        with self.kind().create(tmp_path / "db", append=True) as writer:
            assert writer.last_key() == ITEMS[-1][0]
            writer.put([(b"0020", b"x"), (b"0000", b"anew")])
        with self.kind().open(tmp_path / "db") as reader:
            assert len(reader) == len(ITEMS) + 1
            assert bytes(reader.get(b"0000")) == b"anew"
        with pytest.raises(CafxError, match="parent folder does not exist"):
            self.kind().create(tmp_path / "none" / "db")

    def test_a_batch_is_written_whole_or_not_at_all(self, tmp_path: Path) -> None:
        """What goes wrong in ``put`` leaves nothing of it."""
        wrong: Any = [(b"9998", b"first"), (b"9999", object())]
        with self.kind().create(tmp_path / "db") as writer:
            writer.put(ITEMS)
            with pytest.raises(Exception):  # noqa: B017 - which one is the library's affair
                writer.put(wrong)
        with self.kind().open(tmp_path / "db") as reader:
            assert list(reader.keys()) == [key for key, _ in ITEMS]

    def test_what_was_put_is_there_though_the_process_ended_without_closing(self, tmp_path: Path) -> None:
        """A tool that was killed is run again with ``--resume``."""
        path = str(tmp_path / "db")
        script = textwrap.dedent(UNFINISHED).format(name=self.name, path=path)
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        with self.kind().create(path, append=True) as writer:
            assert writer.last_key() == b"0009"
        with self.kind().open(path) as reader:
            assert len(reader) == 10

    def test_it_grows(self, tmp_path: Path) -> None:
        """To a hundred MiB, a batch of which is larger than a first guess might be."""
        value = bytes(LARGE)
        with self.kind().create(tmp_path / "db") as writer:
            for first in range(0, MANY, MANY // 2):
                writer.put([(b"%04d" % i, value) for i in range(first, first + MANY // 2)])
        with self.kind().open(tmp_path / "db") as reader:
            assert len(reader) == MANY
            assert all(len(value) == LARGE for _, value in reader.items())

    def test_what_is_no_database_is_refused(self, tmp_path: Path) -> None:
        """Missing, a file, an empty folder, a database without items."""
        (tmp_path / "file").write_bytes(b"no")
        (tmp_path / "folder").mkdir()
        empty = self.made(tmp_path, [])
        for path, words in (
            (tmp_path / "none", "no database"), (tmp_path / "file", "not a database"),
            (tmp_path / "folder", "not a database"), (empty, "empty"),
        ):  # fmt: skip
            with pytest.raises(CafxError, match=words) as caught:
                self.kind().open(path)
            assert str(path) in str(caught.value)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
    def test_a_database_cut_short_is_refused(self, tmp_path: Path, share: float) -> None:
        """A copy that ended early must not pass for a smaller database."""
        path = self.made(tmp_path, [(key, value * 50) for key, value in ITEMS])
        largest = max(path.rglob("*"), key=lambda each: each.stat().st_size)
        with largest.open("r+b") as file:
            file.truncate(int(largest.stat().st_size * share))
        with pytest.raises(CafxError) as caught:
            self.read(path)
        assert str(path) in str(caught.value)


def database_suite(name: str, plugins: Registry | None = None) -> type[DatabaseSuite]:
    """A pytest class that holds one kind of database to what data layers and tools rely on."""
    return type(f"Test{name}", (DatabaseSuite,), {"name": name, "plugins": plugins or registry()})
