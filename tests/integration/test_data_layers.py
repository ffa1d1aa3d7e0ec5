"""What data layers read, against what real Caffe's layers made of the same files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import TEST, Net
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader, datum_bytes

FORMATS = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[3] / "shared")) / "golden" / "formats"
CASES = sorted((FORMATS / "data_layers").glob("*.npz"))
RESIZED = 1.0  # grey levels by which OpenCV's versions resize differently
DECODED = 2.0  # and by which JPEG decoders differ

DATABASES = sorted((FORMATS / "db").glob("*.npz"))
pytestmark = pytest.mark.skipif(not CASES, reason=f"no golden data in {FORMATS}")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_batches_equal_those_of_caffe(path: Path) -> None:
    with np.load(path) as held:
        values = {key: held[key] for key in held.files}
    text = path.with_suffix(".prototxt").read_text()
    with inside(FORMATS), Net(f"data_layers/{path.stem}.prototxt", TEST) as net:
        for step in range(int(values["steps"])):
            net.run_forward()
            for key in [key for key in values if key.startswith(f"step{step}/")]:
                found, expected = net.blobs[key.split("/", 1)[1]].host(), values[key]
                assert found.shape == expected.shape, key
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=_allowed(path.stem, text, key))


@pytest.mark.parametrize("npz", DATABASES, ids=lambda each: each.stem)
def test_a_database_of_caffe_is_read_and_written_again_the_same(npz: Path, tmp_path: Path) -> None:
    kind = npz.stem.rpartition("_")[2].upper()
    with np.load(npz) as held, open_database(npz.with_suffix(""), kind) as reader:
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


def _allowed(name: str, text: str, key: str) -> float:
    """What the golden README allows: nothing but for decoded JPEG and resized images."""
    if key.endswith("label"):
        return 0.0
    scale = float(text.split("scale: ")[1].split()[0]) if "scale: " in text else 1.0
    if name.startswith("window") or "new_height" in text:
        return RESIZED * scale
    jpeg = "jpeg" in name or "db/encoded_lmdb" in text
    return DECODED * scale if jpeg else 1e-6
