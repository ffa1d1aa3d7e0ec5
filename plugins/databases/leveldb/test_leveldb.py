"""LEVELDB against what every kind of database promises, and its log, in which writers leave the last items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plyvel
import pytest

from cafx.conformance.databases import database_suite
from cafx.kernel import CafxError
from cafx_database_leveldb import LevelDB

COUNT, CUTS = 40, 60

TestLEVELDB = database_suite("LEVELDB")


def test_a_log_that_another_writer_left_is_read_and_refused_where_it_is_cut_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = [(b"%04d" % i, rng.bytes(int(rng.integers(1, 9000)))) for i in range(COUNT)]
    db = plyvel.DB(str(tmp_path / "db"), create_if_missing=True)
    for key, value in items:
        db.put(key, value)
    db.close()
    with LevelDB.open(tmp_path / "db") as reader:
        assert [(key, bytes(value)) for key, value in reader.items()] == items
    log = next((tmp_path / "db").glob("*.log"))
    whole = log.read_bytes()
    for size in (*rng.integers(1, len(whole), CUTS).tolist(), *range(len(whole) - 10, len(whole))):
        log.write_bytes(whole[:size])
        with pytest.raises(CafxError, match=f"{log.name} is cut off at {size} bytes"):
            LevelDB.open(tmp_path / "db")


def test_closing_a_writer_leaves_nothing_in_the_log(tmp_path: Path) -> None:
    with LevelDB.create(tmp_path / "db") as writer:
        writer.put([(b"key", b"value")])
    writer.close()
    assert [each.stat().st_size for each in (tmp_path / "db").glob("*.log")] == [0]
