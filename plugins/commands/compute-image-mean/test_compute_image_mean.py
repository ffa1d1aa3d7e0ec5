"""compute-image-mean against Caffe's files, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.kernel import CafxError, registry
from cafx_command_compute_image_mean import compute_image_mean
from cafx_lib_feed.datum import datum_bytes

FORMATS = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[4] / "shared")) / "golden/formats"
MEANS = sorted((FORMATS / "mean").glob("*_mean.binaryproto"))


@pytest.mark.skipif(not MEANS, reason=f"no golden data in {FORMATS}")
@pytest.mark.parametrize("path", MEANS, ids=lambda path: path.stem)
def test_means_are_those_of_caffe(path: Path, tmp_path: Path) -> None:
    database = FORMATS / "db" / path.stem.removesuffix("_mean")
    result = CliRunner().invoke(compute_image_mean, [str(database), str(tmp_path / "mean")], catch_exceptions=False)
    assert (tmp_path / "mean").read_bytes() == path.read_bytes()
    assert result.output.count("mean_value channel") in (1, 3)


def test_an_image_of_another_shape_is_named(tmp_path: Path) -> None:
    with registry().load("database", "LMDB").create(tmp_path / "db") as writer:
        shapes = [(3, 4, 4)] * 70 + [(3, 4, 5)]
        writer.put([(b"%04d" % i, datum_bytes(np.zeros(shape, np.uint8), 0)) for i, shape in enumerate(shapes)])
    with pytest.raises(CafxError, match="'0070'"):
        CliRunner().invoke(compute_image_mean, [str(tmp_path / "db")], catch_exceptions=False)
