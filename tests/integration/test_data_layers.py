"""Data layers read what Caffe's layers read from the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import TEST, Net
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader, datum_bytes

RESIZED = 1.0  # grey levels by which versions of OpenCV differ in resizing
DECODED = 2.0  # grey levels by which JPEG decoders differ


@pytest.mark.shared_files("golden/formats/data_layers/*.npz")
def test_batches_equal_those_of_caffe(shared_file: Path) -> None:
    with np.load(shared_file) as file:
        values = dict(file)
    prototxt = shared_file.with_suffix(".prototxt")
    text, formats = prototxt.read_text(), prototxt.parents[1]
    with inside(formats), Net(str(prototxt.relative_to(formats)), TEST) as net:
        for step in range(int(values["steps"])):
            net.run_forward()
            for key in [key for key in values if key.startswith(f"step{step}/")]:
                batch, expected = net.blobs[key.split("/", 1)[1]].host(), values[key]
                assert batch.shape == expected.shape, key
                np.testing.assert_allclose(batch, expected, rtol=1e-6, atol=_allowed(shared_file.stem, text, key))


@pytest.mark.shared_files("golden/formats/db/*.npz")
def test_datums_of_caffe_s_databases_are_read_and_written_unchanged(shared_file: Path) -> None:
    kind = shared_file.stem.rpartition("_")[2].upper()
    with np.load(shared_file) as stored, open_database(shared_file.with_suffix(""), kind) as reader:
        datums, count = DatumReader(), 0
        for index, (key, value) in enumerate(reader.items()):
            example = datums.read(key, value)
            assert example.label == stored["label"][index]
            if example.pixels is None:
                if f"bytes/{index}" in stored:
                    assert bytes(example.image or b"") == stored[f"bytes/{index}"].tobytes()
                again = datum_bytes(None, example.label, image=bytes(example.image or b""), encoded=True)
            else:
                np.testing.assert_array_equal(example.pixels, stored[f"data/{index}"])
                again = datum_bytes(example.pixels, example.label, encoded=False)
            assert again == bytes(value)
            count += 1
        assert count == len(stored["label"])


def _allowed(name: str, text: str, key: str) -> float:
    """The tolerance for decoded JPEG and resized images, as stated in the README of the data."""
    if key.endswith("label"):
        return 0.0
    scale = float(text.split("scale: ")[1].split()[0]) if "scale: " in text else 1.0
    if name.startswith("window") or "new_height" in text:
        return RESIZED * scale
    jpeg = "jpeg" in name or "db/encoded_lmdb" in text
    return DECODED * scale if jpeg else 1e-6
