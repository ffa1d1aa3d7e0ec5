"""LMDB against what every kind of database promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from cafx.conformance.databases import database_suite
from cafx.kernel import CafxError
from cafx_database_lmdb import LMDB

TestLMDB = database_suite("LMDB")


@pytest.mark.parametrize("held", [b"", b"\0" * 100, b"\0" * 100_000])
def test_a_file_that_never_was_a_database(held: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(held)
    with pytest.raises(CafxError, match="damaged"):
        LMDB.open(tmp_path)
