"""LEVELDB meets the checklist of databases and reads or rejects logs left by other writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plyvel
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_database_leveldb import LevelDB

COUNT, TRUNCATIONS = 40, 60

TestLEVELDB = plugin_suite("database", "LEVELDB")


def test_a_log_is_read_if_complete_and_rejected_if_truncated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = [(b"%04d" % i, rng.bytes(int(rng.integers(1, 9000)))) for i in range(COUNT)]
    db = plyvel.DB(str(tmp_path / "db"), create_if_missing=True)
    for key, value in items:
        db.put(key, value)
    db.close()
    with LevelDB.open(tmp_path / "db") as reader:
        assert [(key, bytes(value)) for key, value in reader.items()] == items
    log = next((tmp_path / "db").glob("*.log"))
    complete = log.read_bytes()
    sizes = rng.integers(1, len(complete), TRUNCATIONS).tolist()
    for size in (*sizes, *range(len(complete) - 10, len(complete))):
        log.write_bytes(complete[:size])
        with pytest.raises(CafxError, match=f"{log.name} is truncated at {size} bytes"):
            LevelDB.open(tmp_path / "db")


def test_closing_a_writer_empties_the_log(tmp_path: Path) -> None:
    with LevelDB.create(tmp_path / "db") as writer:
        writer.put([(b"key", b"value")])
    writer.close()
    assert [each.stat().st_size for each in (tmp_path / "db").glob("*.log")] == [0]
