"""LEVELDB against the promises of Reader and Writer, and against what Caffe wrote."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import CafxError, registry
from cafx_data_feed.database import open_database
from cafx_data_feed.datum import DatumReader, datum_bytes

KIND = "LEVELDB"
DATABASES = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[4] / "shared")) / "golden/formats/db"
ITEMS = [(b"%04d" % i, bytes([i]) * (100 + i)) for i in range(20)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with registry().load("database", KIND).create(tmp_path / "db") as writer:
        assert writer.last_key() is None
        writer.put(ITEMS[10:])
        writer.put(ITEMS[:10])
        assert writer.last_key() == b"0019"
    return tmp_path / "db"


def test_items_come_in_the_order_of_their_keys_from_any_position_and_round(path: Path) -> None:
    with open_database(path, KIND) as reader:
        assert len(reader) == 20
        assert [(key, bytes(value)) for key, value in reader.items()] == ITEMS
        assert [key for key, _ in reader.items(15)] == [key for key, _ in ITEMS[15:]]
        assert list(reader.keys()) == [key for key, _ in ITEMS]
        assert bytes(reader.get(b"0007")) == ITEMS[7][1]
        numbers = [int(key) for key, _ in itertools.islice(reader.forever(18 + 40), 24)]
    assert numbers == [*range(18, 20), *range(20), 0, 1]


def test_values_hold_while_the_reader_is_open(path: Path) -> None:
    with open_database(path) as reader:
        held = [value for _, value in reader.items()]
        assert [bytes(value) for value in held] == [value for _, value in ITEMS]


def test_a_database_is_not_written_over_but_may_be_added_to(path: Path) -> None:
    kind = registry().load("database", KIND)
    with pytest.raises(CafxError, match="there already"):
        kind.create(path)
    with kind.create(path, append=True) as writer:
        writer.put([(b"0020", b"x")])
    with open_database(path) as reader:
        assert len(reader) == 21
    with pytest.raises(CafxError, match="folder is missing"):
        kind.create(path / "none" / "db")


def test_more_than_the_first_map_holds(tmp_path: Path) -> None:
    value = bytes(1 << 20)
    with registry().load("database", KIND).create(tmp_path / "db") as writer:
        for first in range(0, 100, 50):
            writer.put([(b"%04d" % i, value) for i in range(first, first + 50)])
    with open_database(tmp_path / "db") as reader:
        assert len(reader) == 100


@pytest.mark.skipif(not DATABASES.is_dir(), reason=f"no golden data in {DATABASES}")
@pytest.mark.parametrize("npz", sorted(DATABASES.glob("*_leveldb.npz")), ids=lambda each: each.stem)
def test_what_caffe_wrote_is_read_and_written_again_the_same(npz: Path, tmp_path: Path) -> None:
    with np.load(npz) as held, open_database(npz.with_suffix(""), KIND) as reader:
        datums = DatumReader()
        copies = []
        for index, (key, value) in enumerate(reader.items()):
            example = datums.read(key, value)
            assert example.label == held["label"][index]
            if example.pixels is None:
                if f"bytes/{index}" in held:
                    assert bytes(example.image or b"") == held[f"bytes/{index}"].tobytes()
                again = datum_bytes(None, example.label, image=bytes(example.image or b""), encoded=True)
            else:
                np.testing.assert_array_equal(example.pixels, held[f"data/{index}"])
                again = datum_bytes(example.pixels, example.label, encoded=False)
            assert again == bytes(value)
            copies.append((key, again))
        assert len(copies) == len(held["label"])
