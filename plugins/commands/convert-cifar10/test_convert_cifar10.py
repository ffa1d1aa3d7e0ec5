"""convert-cifar10 on small files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_command_convert_cifar10 import convert_cifar10
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import datum_bytes

TestConvertCifar10 = plugin_suite("command", "convert-cifar10")

ROWS = np.random.default_rng(0).integers(0, 10, (4, 3073), dtype=np.uint8)


def convert(folder: Path, *options: str) -> str:
    return CliRunner().invoke(convert_cifar10, [str(folder), str(folder), *options], catch_exceptions=False).output


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_keys_count_through_the_files(tmp_path: Path, backend: str) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(ROWS.tobytes())
    (tmp_path / "data_batch_3.bin.gz").write_bytes(gzip.compress(ROWS.tobytes()))
    output = convert(tmp_path, "--backend", backend)
    assert "8 images" in output
    assert "no test files" in output
    with open_database(tmp_path / f"cifar10_train_{backend}") as reader:
        items = [(key, bytes(value)) for key, value in reader.items()]
    expected = datum_bytes(ROWS[2, 1:].reshape(3, 32, 32), int(ROWS[2, 0]))
    assert items[2] == (b"00002", expected)
    assert items[6] == (b"20002", expected)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="none of"):
        convert(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(ROWS.tobytes()[:-1])
    with pytest.raises(CafxError, match="multiple of 3073"):
        convert(tmp_path)
