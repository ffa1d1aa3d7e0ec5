"""What data layers read, against what real Caffe's layers made of the same files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import TEST, Net

FORMATS = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[3] / "shared")) / "golden" / "formats"
CASES = sorted((FORMATS / "data_layers").glob("*.npz"))
RESIZED = 1.0  # grey levels by which OpenCV's versions resize differently
DECODED = 2.0  # and by which JPEG decoders differ

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


def _allowed(name: str, text: str, key: str) -> float:
    """What the golden README allows: nothing but for decoded JPEG and resized images."""
    if key.endswith("label"):
        return 0.0
    scale = float(text.split("scale: ")[1].split()[0]) if "scale: " in text else 1.0
    if name.startswith("window") or "new_height" in text:
        return RESIZED * scale
    jpeg = "jpeg" in name or "db/encoded_lmdb" in text
    return DECODED * scale if jpeg else 1e-6
