"""db inspect: counts, shapes, labels and thumbnails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.kernel import CafxError
from cafx_command_db import db
from cafx_data_feed import samples
from cafx_data_feed.images import read_image


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
@pytest.mark.parametrize("encoded", [False, True])
def test_what_is_in_a_database(backend: str, encoded: bool, tmp_path: Path) -> None:
    path = samples.database(backend, encoded)
    options = ["inspect", path, "--thumbnails", str(tmp_path / "out.png"), "--columns", "2", "--side", "16", "--json"]
    found = json.loads(CliRunner().invoke(db, options, catch_exceptions=False).output)
    assert found["items"] == samples.COUNT
    assert found["labels"] == {"0": 2, "1": 2, "2": 1}
    assert found["shapes"] == {f"3×8×7 {'encoded' if encoded else 'uint8'}": samples.COUNT}
    assert read_image(tmp_path / "out.png").shape == (32, 32, 3)
    assert np.ptp(read_image(tmp_path / "out.png")) > 0


def test_it_prints_a_histogram() -> None:
    output = CliRunner().invoke(db, ["inspect", samples.database(), "--limit", "3"], catch_exceptions=False).output
    assert "5 items (3 looked at)" in output
    assert output.count("#") >= 3


def test_a_missing_database() -> None:
    with pytest.raises(CafxError, match="no database"):
        CliRunner().invoke(db, ["inspect", "nowhere"], catch_exceptions=False)
