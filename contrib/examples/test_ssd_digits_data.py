"""The pictures of the SSD example: digits where their boxes say, the same for the same seed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cafx_lib_annotated.records import CORNERS, read_record
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader
from cafx_lib_feed.images import decode
from cafx_lib_ssd import read_label_map, read_sizes


@pytest.fixture(scope="module")
def data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ssd_digits_data", Path(__file__).parent / "ssd_digits" / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> list[tuple[Any, Any]]:
    """The pictures and their annotations."""
    with open_database(path) as reader:
        records = [(key, read_record(key, value)) for key, value in reader.items()]
        images = [DatumReader().read(key, record.datum).image for key, record in records]
        return [(decode(image or b"", 3, ""), each.rows) for image, (_, each) in zip(images, records, strict=True)]


def test_boxes_fit_the_digits_tightly(data: ModuleType, tmp_path: Path) -> None:
    data.make(tmp_path, train=30, test=8, seed=4)
    pictures = read(tmp_path / "train_lmdb")
    assert len(pictures) == 30
    for image, rows in pictures:
        assert 1 <= len(rows) <= data.DIGITS[1]
        background = np.ones(image.shape[:2], bool)
        for row in rows:
            x0, y0, x1, y1 = np.rint(row[CORNERS] * data.SIDE).astype(int).tolist()
            patch = image[y0:y1, x0:x1].max(axis=2)
            assert patch.max() >= 150
            ink = patch > 110
            assert min(ink[:, :3].any(), ink[:, -3:].any(), ink[:3].any(), ink[-3:].any())
            background[max(0, y0 - 3) : y1 + 3, max(0, x0 - 3) : x1 + 3] = False
        assert np.ptp(image[background], axis=0).max() == 0
    labels = {int(row[0]) for _, rows in pictures for row in rows}
    assert labels <= set(range(1, 11))
    assert len(labels) > 5


def test_equal_seeds_give_equal_pictures_and_phases_have_digits_of_their_own(data: ModuleType, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        data.make(tmp_path / name, train=5, test=5, seed=seed)
    first, second, other = ([row for _, row in read(tmp_path / each / "train_lmdb")] for each in "abc")
    assert [each.tolist() for each in first] == [each.tolist() for each in second]
    assert [each.tolist() for each in first] != [each.tolist() for each in other]
    assert [each.tolist() for each in first] != [each.tolist() for _, each in read(tmp_path / "a" / "test_lmdb")]


def test_the_label_map_and_the_sizes_are_those_of_the_evaluation(data: ModuleType, tmp_path: Path) -> None:
    data.make(tmp_path, train=1, test=3)
    assert [item.label for item in read_label_map(tmp_path / "labelmap.prototxt").item] == list(range(11))
    assert [each.height for each in read_sizes(tmp_path / "name_size.txt")] == [data.SIDE] * 3


@pytest.mark.slow
def test_the_digits_are_mnist_s_where_they_are(
    data: ModuleType, tmp_path: Path, write_mnist: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    write_mnist(tmp_path, np.random.default_rng(0), train=4, test=3)
    monkeypatch.setenv("CAFX_DATA", str(tmp_path))
    assert data.digits("train")[0].shape == (4, 28, 28)
    assert data.digits("test")[0].shape == (3, 28, 28)
    monkeypatch.setenv("CAFX_DATA", str(tmp_path / "nowhere"))
    assert data.digits("test")[0].shape[1:] == (8, 8)
    assert len(data.digits("train")[0]) > 1000
