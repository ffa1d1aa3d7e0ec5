"""convert-mnist on small idx files, whole and damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_command_convert_mnist import convert_mnist
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader, datum_bytes

TestConvertMnist = plugin_suite("command", "convert-mnist")

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
LABELS = np.arange(5, dtype=np.uint8)


def convert(folder: Path, images: bytes, labels: bytes, *options: str) -> None:
    (folder / "images").write_bytes(images)
    (folder / "labels").write_bytes(labels)
    arguments = [str(folder / name) for name in ("images", "labels", "db")]
    CliRunner().invoke(convert_mnist, [*arguments, *options], catch_exceptions=False)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_each_image_becomes_a_datum(tmp_path: Path, pack: type[bytes]) -> None:
    images = struct.pack(">4I", 2051, 5, 4, 3) + IMAGES.tobytes()
    labels = struct.pack(">2I", 2049, 5) + LABELS.tobytes()
    convert(tmp_path, pack(images), pack(labels))
    with open_database(tmp_path / "db") as reader:
        items = [(key, bytes(value)) for key, value in reader.items()]
    assert items == [(b"%08d" % i, datum_bytes(IMAGES[i][None], i)) for i in range(5)]


@pytest.mark.parametrize(
    "damage", [b"", b"\x1f\x8bnot gzip", struct.pack(">4I", 2051, 5, 4, 3), struct.pack(">2I", 2049, 5)]
)
def test_damaged_files(tmp_path: Path, damage: bytes) -> None:
    with pytest.raises(CafxError, match="images"):
        convert(tmp_path, damage, b"")


def test_pairs_have_two_channels_and_tell_whether_the_digits_are_equal(tmp_path: Path) -> None:
    images = struct.pack(">4I", 2051, 5, 4, 3) + IMAGES.tobytes()
    labels = np.array([0, 0, 0, 1, 1], np.uint8)
    convert(tmp_path, images, struct.pack(">2I", 2049, 5) + labels.tobytes(), "--pairs", "--seed", "3")
    reader, found = DatumReader(), []
    with open_database(tmp_path / "db") as database:
        for key, value in database.items():
            example = reader.read(key, value)
            one, other = (
                next(i for i in range(5) if (IMAGES[i] == channel).all()) for channel in np.asarray(example.pixels)
            )
            assert example.label == (labels[one] == labels[other])
            found.append((one, other))
    assert len(found) == 5
    assert len(set(found)) > 1
