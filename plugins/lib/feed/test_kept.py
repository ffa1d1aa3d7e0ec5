"""Data layers keep large 8-bit images as bytes; whoever reads the top gets the floats that were made before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import HOST, TRAIN, CafxError, Net, registry, schema
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode
from cafx_lib_feed.transform import Transformer
from cafx_lib_pixels import IMAGES

pytest.importorskip("cafx_lib_pixels.streaming", reason="llvmlite is not installed", exc_type=ImportError)
HEIGHT, WIDTH, CROP, BATCH, COUNT, PASSES = 70, 90, 33, 3, 5, 4
SIZE = (3, HEIGHT, WIDTH)


def stored(pixels: Any, encoded: bool, label: int) -> bytes:
    """A Datum."""
    if not encoded:
        return datum_bytes(pixels, label, encoded=False)
    image = encode(np.ascontiguousarray(pixels.transpose(1, 2, 0)), ".png", "it")
    return datum_bytes(None, label, image=image, encoded=True)


@pytest.fixture
def database(tmp_path: Path) -> Callable[..., str]:
    """Writes a database of images, each with its shape and whether it is encoded."""

    def write(*kinds: tuple[tuple[int, ...], bool]) -> str:
        path, rng = tmp_path / "images", np.random.default_rng(0)
        with registry().load("database", "LMDB").create(path) as writer:
            for index, (shape, encoded) in enumerate(kinds):
                pixels = rng.integers(0, 256, shape, np.uint8)
                writer.put([(b"%08d" % index, stored(pixels, encoded, index))])
        return str(path)

    return write


def data_net(
    source: str, transform: str = "", rest: str = "", *, batch: int = BATCH, tops: int = 2, **settings: Any
) -> Net:
    """A net of a Data layer and more."""
    names = " ".join(f'top: "{name}"' for name in ("data", "label")[:tops])
    text = f"""layer {{ name: "d" type: "Data" {names} transform_param {{ {transform} }}
        data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }} }} {rest}"""
    message = schema(registry()).parse_text(text, "NetParameter")
    return Net(message, TRAIN, seed=3, **{"engine": "numpy", **settings})


def passes(net: Net) -> Iterator[dict[str, Any]]:
    """What the tops hold after each of some passes."""
    with net:
        for _ in range(PASSES):
            net.run_forward()
            yield {name: blob.data.copy() for name, blob in net.blobs.items()}


def in_bytes(net: Net) -> bool:
    """Whether the data are in bytes after a pass."""
    with net:
        net.run_forward()
        return net.blobs["data"].synced_data.is_current(IMAGES)


def assert_as_floats(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Net]) -> None:
    """The same results as those of a layer that makes floats itself."""
    kept = list(passes(make()))
    with monkeypatch.context() as patch:
        patch.setattr(Transformer, "stored", lambda *_, **__: None)
        assert not in_bytes(make())
        made = list(passes(make()))
    for one, other in zip(kept, made, strict=True):
        assert one.keys() == other.keys()
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], name)


MEANS = ("", "mean_value: 104 mean_value: 117 mean_value: 123.5", "mean_value: 7", "mean_file: 'MEAN'")


@pytest.mark.slow
@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("mean", MEANS)
def test_all_options_give_the_same_floats(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Callable[..., str], mean: str, encoded: bool
) -> None:
    write_binaryproto(tmp_path / "mean", np.random.default_rng(1).random((1, *SIZE), np.float32) * np.float32(255))
    source = database(*[(SIZE, encoded)] * COUNT)
    for crop, mirror, scale in itertools.product((0, CROP), ("false", "true"), (1, 0.25)):
        options = f"crop_size: {crop} mirror: {mirror} scale: {scale} {mean.replace('MEAN', str(tmp_path / 'mean'))}"
        assert in_bytes(data_net(source, options))
        assert_as_floats(monkeypatch, lambda options=options: data_net(source, options))


LARGER, GREY = (3, HEIGHT + 9, WIDTH + 2), (1, 2 * HEIGHT, 2 * WIDTH)


MIXED = {
    "sizes": [(SIZE, True), (LARGER, True), (SIZE, True)],
    "sizes, raw": [(SIZE, False), (LARGER, False)],
    "encoded and raw": [(SIZE, True), (SIZE, False)],
    "encoded late": [(SIZE, False), (SIZE, False), (SIZE, False), (SIZE, True)],
    "small last": [(SIZE, True), (SIZE, True), ((3, CROP, CROP), True)],
    "small first": [((3, CROP, CROP), False), (SIZE, True), (LARGER, False)],
}


@pytest.mark.parametrize("crop", [CROP, 64])
@pytest.mark.parametrize("kinds", MIXED.values(), ids=MIXED)
def test_images_of_several_sizes_and_kinds(
    monkeypatch: pytest.MonkeyPatch, database: Callable[..., str], kinds: list[Any], crop: int
) -> None:
    if crop > min(shape[1] for shape, _ in kinds):
        kinds = [kind for kind in kinds if kind[0][1] >= crop]
    source = database(*kinds)
    assert_as_floats(monkeypatch, lambda: data_net(source, f"crop_size: {crop} mirror: true mean_value: 9"))


@pytest.mark.parametrize(("encoded", "bytes_"), [(True, True), (False, False)])
def test_windows_of_images_of_several_sizes_are_kept(database: Callable[..., str], encoded: bool, bytes_: bool) -> None:
    with data_net(database((SIZE, True), (LARGER, encoded)), "crop_size: 64") as net:
        for _ in range(PASSES):
            net.run_forward()
            assert net.blobs["data"].synced_data.is_current(IMAGES) is bytes_


@pytest.mark.parametrize("settings", [{"tops": 1}, {"batch": 1}, {"batch": 2 * COUNT}, {"engine": "onednn"}])
@pytest.mark.parametrize("shape", [SIZE, GREY])
def test_batches_of_one_image_without_labels_or_longer_than_the_database(
    monkeypatch: pytest.MonkeyPatch, database: Callable[..., str], shape: Any, settings: Any
) -> None:
    source = database(*[(shape, True)] * COUNT)
    assert in_bytes(data_net(source, "mirror: true", **settings))
    assert_as_floats(monkeypatch, lambda: data_net(source, "mirror: true", **settings))


def test_images_of_several_sizes_one_per_batch(monkeypatch: pytest.MonkeyPatch, database: Callable[..., str]) -> None:
    source = database((SIZE, True), (LARGER, True), (LARGER, False), (SIZE, True))
    assert_as_floats(monkeypatch, lambda: data_net(source, "mean_value: 3", batch=1))


READERS = """
    layer { name: "p" type: "Power" bottom: "data" top: "data" power_param { scale: 2 } }
    layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {
      num_output: 4 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
    layer { name: "q" type: "Pooling" bottom: "data" top: "q" pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param {
      num_output: 5 weight_filler { type: "xavier" } } }
    layer { name: "l" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "l" }"""


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("engine", ["numpy", "onednn"])
def test_layers_read_them_as_floats(
    monkeypatch: pytest.MonkeyPatch, database: Callable[..., str], engine: str, in_place: bool
) -> None:
    source = database(*[(SIZE, True)] * COUNT)
    rest = READERS if in_place else "".join(READERS.splitlines(keepends=True)[2:])
    assert_as_floats(monkeypatch, lambda: data_net(source, f"crop_size: {CROP}", rest, engine=engine))


def test_small_images_are_floats(database: Callable[..., str]) -> None:
    assert not in_bytes(data_net(database(*[((3, 32, 32), True)] * COUNT)))


def test_nets_of_float64_have_floats(database: Callable[..., str]) -> None:
    with data_net(database(*[(SIZE, True)] * COUNT), "scale: 0.1", dtype="float64") as net:
        net.run_forward()
        assert net.blobs["data"].synced_data.current == (HOST,)
        assert (net.blobs["data"].data.astype(np.float32) != net.blobs["data"].data).any()


def test_a_restored_net_reads_the_same_images(database: Callable[..., str]) -> None:
    with data_net(database(*[(SIZE, True)] * COUNT), f"crop_size: {CROP} mirror: true") as net:
        net.run_forward()
        state = net.state()
        expected = [net.forward()["data"].copy() for _ in range(PASSES)]
        net.restore(state)
        for each in expected:
            np.testing.assert_array_equal(net.forward()["data"], each)


def test_an_image_that_does_not_fit_is_refused_as_before(database: Callable[..., str]) -> None:
    with data_net(database((SIZE, True), (LARGER, True))) as net, pytest.raises(CafxError, match="shape mismatch"):
        net.run_forward()
