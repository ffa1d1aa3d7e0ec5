"""compute-image-mean against Caffe's files, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, registry
from cafx_command_compute_image_mean import compute_image_mean
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode
from cafx_lib_jobs.manifest import Manifest

TestComputeImageMean = plugin_suite("command", "compute-image-mean")

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


JOB = ["--executor", "local", "--workers", "1"]


def run(*arguments: str) -> None:
    result = CliRunner().invoke(compute_image_mean, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def write(path: Path, images: list[np.ndarray], encoded: bool = False) -> None:
    items = [
        (b"%05d" % i, datum_bytes(None, 0, image=encode(image.transpose(1, 2, 0), ".png", ""), encoded=True))
        if encoded
        else (b"%05d" % i, datum_bytes(image, 0))
        for i, image in enumerate(images)
    ]
    with registry().load("database", "LMDB").create(path) as writer:
        writer.put(items)


@pytest.fixture(params=[1, 3], ids=["a chunk per slice", "chunks per slice"], autouse=True)
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of one chunk, as small databases have them, and of several."""
    size = request.param
    monkeypatch.setattr(Manifest, "of", lambda count, multiple, **_: Manifest(count, size * multiple))


@pytest.mark.parametrize("kind", ["bytes", "floats", "encoded", "mixed"])
def test_the_mean_is_the_same_in_every_bit_however_it_is_computed(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (3, 4, 5), dtype=np.uint8) for _ in range(300)]
    if kind in ("floats", "mixed"):
        scale = 10.0 ** rng.integers(-6, 6, 300)
        every = 1 if kind == "floats" else 3
        images[::every] = [(each * factor).astype("f4") for each, factor in zip(images, scale, strict=True)][::every]
    write(tmp_path / "db", images, kind == "encoded")
    run(str(tmp_path / "db"), str(tmp_path / "serial"))
    run(str(tmp_path / "db"), str(tmp_path / "job"), *JOB)
    run(str(tmp_path / "db"), str(tmp_path / "one-thread"), "--threads", "1")
    expected = (tmp_path / "serial").read_bytes()
    assert (tmp_path / "job").read_bytes() == expected
    assert (tmp_path / "one-thread").read_bytes() == expected
    if kind != "mixed":
        mean = np.frombuffer(expected[-240:], "<f4").reshape(3, 4, 5)
        np.testing.assert_allclose(mean, np.mean(images, axis=0, dtype="f8"), rtol=1e-6)
    assert not list(tmp_path.glob("*.job"))


@pytest.mark.slow
def test_floats_are_not_summed_in_another_order(tmp_path: Path) -> None:
    """Large values cancel, so that rounding, and with it the grouping of the sum, decides about the rest."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal(1000) * 10.0 ** rng.integers(0, 20, 1000)
    values = rng.permutation(np.concatenate([values, -values])).astype("f4")
    images = list(values.reshape(-1, 1, 1, 1))
    write(tmp_path / "db", images)
    run(str(tmp_path / "db"), str(tmp_path / "serial"))
    run(str(tmp_path / "db"), str(tmp_path / "job"), *JOB)
    assert (tmp_path / "serial").read_bytes() == (tmp_path / "job").read_bytes()


@pytest.mark.parametrize("at", [70, 200])
def test_a_job_names_an_image_of_another_shape(at: int, tmp_path: Path) -> None:
    shapes = [(3, 4, 4)] * at + [(3, 4, 5)]
    write(tmp_path / "db", [np.zeros(shape, np.uint8) for shape in shapes])
    with pytest.raises(CafxError, match=rf"db: item '{at:05d}' differs in shape"):
        run(str(tmp_path / "db"), *JOB)
