"""Data layers of forks read what the fork reads from the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import TEST, Net, registry

RESIZED = 1.0  # grey levels by which versions of OpenCV differ in resizing
COORDINATES = 1e-5


@pytest.mark.skipif("AnnotatedData" not in registry().names("layer"), reason="cafx-data-annotateddata is not installed")
@pytest.mark.shared_files("golden_forks/formats/data_layers/*.npz")
def test_batches_equal_those_of_ssd(shared_file: Path) -> None:
    with np.load(shared_file) as file:
        values = dict(file)
    prototxt = shared_file.with_suffix(".prototxt")
    formats = prototxt.parents[1]
    pixels = RESIZED if "OpenCV resize" in str(values["meta/note"]) and "NEAREST" not in prototxt.read_text() else 0.0
    with inside(formats), Net(str(prototxt.relative_to(formats)), TEST) as net:
        for step in range(int(values["steps"])):
            net.run_forward()
            for name in ("data", "label"):
                batch, expected = net.blobs[name].host(), values[f"step{step}/{name}"]
                assert batch.shape == expected.shape, (step, name)
                np.testing.assert_allclose(batch, expected, rtol=1e-6, atol=pixels if name == "data" else COORDINATES)
