"""8-bit images are sent to the GPU as bytes and become the same floats there as on the host."""

import math
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import TRAIN, Net, registry, schema
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode

pytest.importorskip("cafx_lib_pixels.streaming", reason="llvmlite is not installed", exc_type=ImportError)
SIZE, BATCH, COUNT, PASSES = (3, 70, 90), 3, 5, 7
TRANSFORMS = [
    "mirror: true scale: 0.25 mean_value: 104 mean_value: 117 mean_value: 123.5",
    "mirror: true crop_size: 33 mean_file: 'MEAN'",
    "crop_size: 40",
]


@pytest.fixture
def source(tmp_path: Path):
    """Writes a database of images."""

    def write(encoded):
        rng = np.random.default_rng(0)
        path = tmp_path / f"images{encoded}"
        with registry().load("database", "LMDB").create(path) as writer:
            for index in range(COUNT):
                pixels = rng.integers(0, 256, SIZE, np.uint8)
                image = encode(np.ascontiguousarray(pixels.transpose(1, 2, 0)), ".png", "it")
                value = datum_bytes(
                    None if encoded else pixels, index, image=image if encoded else None, encoded=encoded
                )
                writer.put([(b"%08d" % index, value)])
        return path

    return write


def results(path, transform, engine):
    """What a layer as written computes from the data in each of some passes."""
    text = f"""
    layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }}
      data_param {{ source: "{path}" backend: LMDB batch_size: {BATCH} }} }}
    layer {{ name: "p" type: "Power" bottom: "data" top: "twice" power_param {{ scale: 2 }} }}
    layer {{ name: "l" type: "Power" bottom: "label" top: "next" power_param {{ shift: 1 }} }}"""
    with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine=engine, seed=1) as net:
        for _ in range(PASSES):
            net.run_forward()
            places = {place.name for place in net.blobs["data"].synced_data.current}
            yield net.blobs["twice"].host().copy(), net.blobs["next"].host().copy(), places


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_images_become_the_same_floats(make_engine, tmp_path, source, transform, encoded):
    write_binaryproto(tmp_path / "mean", np.random.default_rng(1).random((1, *SIZE), np.float32) * np.float32(255))
    path, options = source(encoded), transform.replace("MEAN", str(tmp_path / "mean"))
    expected = results(path, options, "numpy")
    for found, wanted in zip(results(path, options, make_engine()), expected, strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
        assert found[2] == {"8-bit images", "cuda", "cuda (sent ahead)"}


def test_a_quarter_of_the_bytes_is_sent(make_engine, monkeypatch, source):
    import cupy

    path, engine, sent = source(encoded=True), make_engine(), []
    copy = cupy.cuda.runtime.memcpyAsync

    def counted(target, origin, nbytes, *rest):
        sent.append(nbytes)
        copy(target, origin, nbytes, *rest)

    monkeypatch.setattr(cupy.cuda.runtime, "memcpyAsync", counted)
    assert len(list(results(path, "", engine))) == PASSES
    pixels, marks, labels = BATCH * math.prod(SIZE), BATCH * 3 * 4, BATCH * 4
    assert set(sent) == {pixels, marks, labels}
    assert sent.count(pixels) in (PASSES, PASSES + 1)  # one may have been sent ahead


def test_a_staging_that_takes_floats_only_gets_floats(make_engine, monkeypatch, source):
    from cafx_engine_cupy.staging import CudaStaging

    monkeypatch.setattr(CudaStaging, "takes", ())
    for _, _, places in results(source(encoded=True), "", make_engine()):
        assert places == {"host", "cuda", "cuda (sent ahead)"}
