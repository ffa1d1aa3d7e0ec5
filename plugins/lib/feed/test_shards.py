"""Several databases read as one."""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import TRAIN, CafxError, Net, registry, schema
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.shards import Shards, database_paths, open_all

NEEDS_PLYVEL = pytest.mark.skipif(importlib.util.find_spec("plyvel") is None, reason="plyvel has no wheel here")
COUNTS = (3, 1, 4)
NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "{source}" batch_size: {batch}
  backend: {backend} {more} }} }}
"""


@pytest.fixture(params=["LMDB", pytest.param("LEVELDB", marks=NEEDS_PLYVEL)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def parts(tmp_path: Path, backend: str) -> Path:
    """Three databases with equal keys; labels count over all of them."""
    label = 0
    for part, count in enumerate(COUNTS):
        with registry().load("database", backend).create(tmp_path / f"part-{part}") as writer:
            for number in range(count):
                pixels = np.full((1, 2, 2), label, np.uint8)
                writer.put([(b"%08d" % number, datum_bytes(pixels, label))])
                label += 1
    return tmp_path


def labels(source: str, backend: str, batch: int, batches: int, more: str = "") -> list[int]:
    text = NET.format(source=source, backend=backend, batch=batch, more=more)
    net = Net(schema().parse_text(text, "NetParameter"), TRAIN, seed=1)
    return [int(each) for _ in range(batches) for each in net.forward()["label"]]


def test_items_follow_each_other(parts: Path) -> None:
    expected = []
    for part in range(3):
        with open_database(parts / f"part-{part}") as reader:
            expected += [(key, bytes(value)) for key, value in reader.items()]
    with open_all(f"{parts}/part-*", open_database) as whole:
        assert isinstance(whole, Shards)
        assert len(whole) == sum(COUNTS)
        for start in range(sum(COUNTS) + 1):
            assert [(bytes(key), bytes(value)) for key, value in whole.items(start)] == expected[start:]
        keys = list(whole.keys())
        assert [bytes(whole.get(key)) for key in keys] == [value for _, value in expected]
        assert [key for key, _ in islice(whole.forever(6), 4)] == [expected[at][0] for at in (6, 7, 0, 1)]


def test_a_data_layer_reads_patterns_and_lists(parts: Path, backend: str) -> None:
    everything = list(range(8))
    assert labels(f"{parts}/part-?", backend, 4, 4) == everything * 2
    assert labels(f"{parts}/part-2, {parts}/part-0", backend, 7, 1) == [4, 5, 6, 7, 0, 1, 2]


def test_shuffling_and_skipping_are_over_all_of_them(parts: Path, backend: str) -> None:
    shuffled = labels(f"{parts}/part-*", backend, 4, 2, "shuffle: true")
    assert sorted(shuffled) == list(range(8))
    assert shuffled != sorted(shuffled)
    skipped = labels(f"{parts}/part-*", backend, 4, 2, "rand_skip: 100")
    assert skipped == [(skipped[0] + each) % 8 for each in range(8)]


def test_a_name_that_exists_is_that_database(tmp_path: Path, parts: Path, backend: str) -> None:
    odd = tmp_path / "a,b*"
    (parts / "part-0").rename(odd)
    assert database_paths(str(odd)) == [str(odd)]
    assert labels(str(odd), backend, 3, 1) == [0, 1, 2]


@pytest.mark.parametrize(
    ("source", "problem"),
    [("{0}/part-9*", "no database matches"), ("{0}/part-0,", "empty name"), ("{0}/part-0,{0}/none", "no database at")],
)
def test_what_is_missing_is_named(parts: Path, backend: str, source: str, problem: str) -> None:
    with pytest.raises(CafxError, match=problem):
        labels(source.format(parts), backend, 1, 1)
