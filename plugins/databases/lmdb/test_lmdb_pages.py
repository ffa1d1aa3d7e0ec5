"""An LMDB file is checked before LMDB trusts it: no byte in it ends the process."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import pytest

from cafx.kernel import CafxError
from cafx_data_data.source import DataSource
from cafx_database_lmdb import LMDB, pages
from cafx_lib_feed import samples

PAGE = 4096
ITEMS = [(b"%06d" % number, bytes([number % 251]) * (9000 if number % 7 == 0 else 300)) for number in range(400)]
READ_ALL = """
import random, sys
from pathlib import Path
from cafx.kernel import CafxError
from cafx_database_lmdb import LMDB
data, folder, refused = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), 0
rng = random.Random(int(sys.argv[3]))
used = [page for page in range(len(data) // 4096) if data[page * 4096 + 10] & 0x0B]
for number in range(int(sys.argv[4])):
    changed = bytearray(data)
    near = rng.choice(used) * 4096 + rng.choice((rng.randrange(160), rng.randrange(4096)))
    changed[near] = rng.choice((0, 1, 2, 4, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    (folder / "data.mdb").write_bytes(changed)
    try:
        with LMDB.open(folder) as reader:
            assert 0 < len(reader) <= 400
            for key, value in reader.items():
                bytes(value)
            for key in reader.keys():
                bytes(reader.get(key))
    except CafxError:
        refused += 1
print(refused)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    with LMDB.create(path) as writer:
        writer.put(ITEMS)
        writer.put([(ITEMS[5][0], b"new"), (ITEMS[7][0], b"n" * 20000)])
    return path


@pytest.mark.parametrize("mutations", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_byte_ends_the_process(database: Path, tmp_path: Path, mutations: int) -> None:
    (tmp_path / "x").mkdir()
    command = [sys.executable, "-c", READ_ALL, database / "data.mdb", tmp_path / "x", "1", str(mutations)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > mutations // 100


def test_a_whole_file_passes_and_its_items_are_counted(database: Path) -> None:
    meta = pages.current(pages.read_metas(database / "data.mdb"))
    assert meta.items.levels == 2
    assert pages.count_items(database / "data.mdb", meta) == len(ITEMS)
    pages.check_free_pages(database / "data.mdb", meta)


@pytest.mark.parametrize("lock", [True, False])
def test_the_pages_checked_are_those_that_lmdb_reads(database: Path, lock: bool) -> None:
    """Where it locks, LMDB takes the meta page by whether the transaction is even, else the latest."""
    path = database / "data.mdb"
    data, metas = bytearray(path.read_bytes()), pages.read_metas(path)
    latest = metas.index(pages.current(metas))
    struct.pack_into("<Q", data, latest * PAGE + pages.META_SIZE - 8, 2**40 + 1 - latest)
    path.write_bytes(data)
    (database / "lock.mdb").unlink(missing_ok=True)
    if not lock:
        (database / "lock.mdb").mkdir()
    with pytest.raises(CafxError, match=f"meta page {1 - latest} is of transaction"):
        LMDB.open(database)


def page_of(path: Path, kind: int) -> int:
    """Where the root, a branch, or its first leaf begins."""
    data, root = path.read_bytes(), pages.current(pages.read_metas(path)).items.root
    if kind == pages.BRANCH:
        return root * PAGE
    first_node: int = struct.unpack_from("<H", data, root * PAGE + pages.PAGE_HEADER)[0]
    number: int = struct.unpack_from("<I", data, root * PAGE + first_node)[0]
    return number * PAGE


@pytest.mark.parametrize(
    ("kind", "at", "form", "value", "told"),
    [
        (pages.LEAF, 0, "<Q", 7777, "has another number"),
        (pages.LEAF, 10, "<H", pages.BRANCH, "is of another kind"),
        (pages.LEAF, 12, "<H", 4000, "has a wrong header"),
        (pages.LEAF, 14, "<H", 5000, "has a wrong header"),
        (pages.LEAF, 16, "<H", 4095, "has a misplaced item"),
        (pages.BRANCH, 12, "<H", 18, "has a wrong header"),
        (pages.BRANCH, 10, "<H", pages.LEAF, "kind"),
    ],
)
def test_what_is_wrong_with_a_page_is_told(
    kind: int, at: int, form: str, value: int, told: str, database: Path
) -> None:
    file = database / "data.mdb"
    data = bytearray(file.read_bytes())
    struct.pack_into(form, data, page_of(file, kind) + at, value)
    file.write_bytes(data)
    with pytest.raises(CafxError, match=told):
        LMDB.open(database)
    with pytest.raises(CafxError, match=told):
        LMDB.create(database, append=True)


@pytest.mark.parametrize(
    ("field", "told"), [("child", "page 70000 of"), ("twice", "twice"), ("long", "refers to page")]
)
def test_references_to_no_page_are_refused(field: str, told: str, database: Path) -> None:
    file = database / "data.mdb"
    data = bytearray(file.read_bytes())
    start = page_of(file, pages.LEAF if field == "long" else pages.BRANCH)
    nodes = [start + offset for offset in struct.unpack_from("<2H", data, start + pages.PAGE_HEADER)]
    if field == "child":
        struct.pack_into("<I", data, nodes[0], 70000)
    elif field == "twice":
        data[nodes[0] : nodes[0] + 4] = data[nodes[1] : nodes[1] + 4]
    else:
        _, flags, key = struct.unpack_from("<IHH", data, nodes[0])
        assert flags == pages.LONG_VALUE
        struct.pack_into("<Q", data, nodes[0] + pages.NODE_HEADER + key, 70000)
    file.write_bytes(data)
    with pytest.raises(CafxError, match=told):
        LMDB.open(database)


def test_databases_that_caffe_does_not_write_are_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "named"), max_dbs=2) as env, env.begin(write=True) as transaction:
        transaction.put(b"key", b"value", db=env.open_db(b"inner", transaction))
    with pytest.raises(CafxError, match="sub-databases"):
        LMDB.open(tmp_path / "named")


def test_deep_trees_pass(tmp_path: Path) -> None:
    items = [(b"%09d" % number + b"k" * 400, b"") for number in range(3000)]
    with LMDB.create(tmp_path / "deep") as writer:
        writer.put(items)
        writer.put(items[:10])
    meta = pages.current(pages.read_metas(tmp_path / "deep" / "data.mdb"))
    assert meta.items.levels > 3
    with LMDB.open(tmp_path / "deep") as reader:
        assert len(reader) == 3000
        assert [key for key, _ in reader.items()] == [key for key, _ in items]


def test_a_file_truncated_while_it_is_read_is_an_error(database: Path) -> None:
    with LMDB.open(database) as reader:
        items = reader.items()
        next(items)
        os.truncate(database / "data.mdb", 3 * PAGE)
        with pytest.raises(CafxError, match="truncated"):
            list(items)
        for read in (reader.items, lambda: reader.items(100), reader.keys):
            with pytest.raises(CafxError, match="truncated"):
                list(read())
        with pytest.raises(CafxError, match="truncated"):
            reader.get(ITEMS[0][0])


def test_a_batch_that_was_fetched_before_the_truncation_is_not_read(tmp_path: Path) -> None:
    source: Any = object.__new__(DataSource)
    path = tmp_path / "db"
    path.mkdir()
    (path / "data.mdb").write_bytes((Path(samples.database("LMDB")) / "data.mdb").read_bytes())
    with LMDB.open(path) as source.reader:
        fetched = [value for _, value in source.reader.items()], None
        os.truncate(path / "data.mdb", PAGE)
        with pytest.raises(CafxError, match="truncated"):
            source.fill(fetched, 0, None)


def test_a_lock_file_that_is_a_link_is_not_followed(database: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (database / "lock.mdb").unlink()
    (database / "lock.mdb").symlink_to(tmp_path / "precious")
    with LMDB.open(database) as reader:
        assert len(reader) == len(ITEMS)
    with pytest.raises(CafxError, match=r"lock\.mdb"):
        LMDB.create(database, append=True)
    assert (tmp_path / "precious").read_text() == "precious"
