"""LMDB meets the checklist of databases and rejects files that are not LMDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_database_lmdb import LMDB

TestLMDB = plugin_suite("database", "LMDB")


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\0" * 100_000])
def test_a_file_that_is_not_lmdb_is_reported_as_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(CafxError, match="damaged"):
        LMDB.open(tmp_path)
