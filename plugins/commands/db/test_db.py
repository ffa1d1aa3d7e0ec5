"""db inspect: counts, shapes, labels and thumbnails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, registry
from cafx_command_db import db
from cafx_lib_feed import samples
from cafx_lib_feed.images import read_image

TestDb = plugin_suite("command", "db")


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
@pytest.mark.parametrize("encoded", [False, True])
def test_items_shapes_and_labels_are_counted(backend: str, encoded: bool, tmp_path: Path) -> None:
    path = samples.database(backend, encoded)
    options = ["inspect", path, "--thumbnails", str(tmp_path / "out.png"), "--columns", "2", "--side", "16", "--json"]
    summary = json.loads(CliRunner().invoke(db, options, catch_exceptions=False).output)
    assert summary["items"] == samples.COUNT
    assert summary["labels"] == {"0": 2, "1": 2, "2": 1}
    assert summary["shapes"] == {f"3×8×7 {'encoded' if encoded else 'uint8'}": samples.COUNT}
    assert read_image(tmp_path / "out.png").shape == (32, 32, 3)
    assert np.ptp(read_image(tmp_path / "out.png")) > 0


def test_it_prints_a_histogram() -> None:
    output = CliRunner().invoke(db, ["inspect", samples.database(), "--limit", "3"], catch_exceptions=False).output
    assert "5 items (3 inspected)" in output
    assert output.count("#") >= 3


def test_a_missing_database_is_an_error() -> None:
    with pytest.raises(CafxError, match="no database"):
        CliRunner().invoke(db, ["inspect", "nowhere"], catch_exceptions=False)


def test_thumbnails_of_rgb_pixels(tmp_path: Path) -> None:
    sheets = []
    for more in ([], ["--rgb"]):
        options = ["inspect", samples.database(), "--thumbnails", str(tmp_path / "out.png"), *more]
        CliRunner().invoke(db, options, catch_exceptions=False)
        sheets.append(read_image(tmp_path / "out.png"))
    np.testing.assert_array_equal(sheets[0], sheets[1][:, :, ::-1])
    assert (sheets[0] != sheets[1]).any()


def test_errors_in_items_name_the_database(tmp_path: Path) -> None:
    with registry().load("database", "LMDB").create(tmp_path / "bad") as writer:
        writer.put([(b"a", b"\xff")])
    with pytest.raises(CafxError, match=r"bad: item 'a' is not a Datum"):
        CliRunner().invoke(db, ["inspect", str(tmp_path / "bad")], catch_exceptions=False)
