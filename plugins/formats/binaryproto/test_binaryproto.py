"""Caffe's binary files: round trips, legacy forms and damaged files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Net, registry, schema
from cafx.kernel.net import BlobValues, LayerWeights, TrainingState, format_named, read_weights
from cafx_format_binaryproto import read_binaryproto, write_binaryproto

TestBinaryProto = plugin_suite("format", "BINARYPROTO")

PROTO = format_named("BINARYPROTO", registry())
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def net_proto(*names: str) -> Any:
    return schema()["NetParameter"](layer=[{"name": name, "type": "Input"} for name in names])


def random_values(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> BlobValues:
    return BlobValues(shape, np.random.default_rng(seed).standard_normal(int(np.prod(shape))).astype(dtype))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(SHAPES, max_size=3), st.sampled_from([np.float32, np.float64]))
def test_weights_survive_a_round_trip(tmp_path_factory: Any, shapes: list[tuple[int, ...]], dtype: Any) -> None:
    path = tmp_path_factory.mktemp("w") / "a.caffemodel"
    blobs = [random_values(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    PROTO.write_weights(
        path, net_proto("data", "über/conv"), [LayerWeights("data", []), LayerWeights("über/conv", blobs)]
    )
    first, second = read_weights(path, registry())
    assert (first.name, first.blobs, second.name) == ("data", [], "über/conv")
    for written, read in zip(blobs, second.blobs, strict=True):
        assert read.shape == written.shape
        np.testing.assert_array_equal(read.data, written.data)


def test_protobuf_itself_parses_written_weights(tmp_path: Path) -> None:
    blob = random_values((2, 3))
    PROTO.write_weights(tmp_path / "a.caffemodel", net_proto("ip"), [LayerWeights("ip", [blob])])
    parsed = schema().parse_bytes((tmp_path / "a.caffemodel").read_bytes(), "NetParameter")
    assert list(parsed.layer[0].blobs[0].shape.dim) == [2, 3]
    np.testing.assert_array_equal(np.float32(parsed.layer[0].blobs[0].data), blob.data)


def test_legacy_shapes_and_unpacked_values_are_read(tmp_path: Path) -> None:
    proto = net_proto("ip")
    blob = proto.layer[0].blobs.add(num=1, channels=1, height=2, width=2)
    blob.data.extend([1, 2, 3])
    unpacked = b"\x2d" + np.float32(4).tobytes()  # field 5 as a single value, appended to the packed ones
    data = blob.SerializeToString() + unpacked
    layer = b"\x0a\x02ip\x3a" + bytes([len(data)]) + data
    (tmp_path / "old.caffemodel").write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    (weights,) = read_weights(tmp_path / "old.caffemodel", registry())
    assert weights.blobs[0].shape == (1, 1, 2, 2)
    assert weights.blobs[0].data.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("keep", [0, 1, 10, 60, 100, -1])
def test_a_truncated_file_is_rejected(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.caffemodel"
    PROTO.write_weights(path, net_proto("ip"), [LayerWeights("ip", [random_values((5, 6))])])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CafxError, match="is not a complete caffemodel"):
        read_weights(path, registry())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_rejected(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.mktemp("w") / "a.caffemodel"
    path.write_bytes(data)
    try:
        read_weights(path, registry())
    except CafxError:
        return


def test_a_shape_larger_than_the_data_is_rejected_before_allocation(tmp_path: Path) -> None:
    blob = schema()["BlobProto"](data=[1.0])
    blob.shape.dim.extend([2**31, 2**31])
    proto = net_proto("ip")
    proto.layer[0].blobs.add().CopyFrom(blob)
    (tmp_path / "a.caffemodel").write_bytes(proto.SerializeToString())
    with pytest.raises(CafxError, match="with 1 values"):
        read_weights(tmp_path / "a.caffemodel", registry())


def test_other_files_named_caffemodel_are_rejected(shared: Path) -> None:
    paths = sorted((shared / "negative").glob("*.caffemodel"))
    assert paths
    for path in paths:
        with pytest.raises(CafxError) as caught:
            read_weights(path, registry())
        assert path.name in str(caught.value)
    with pytest.raises(CafxError, match="Git LFS pointer"):
        read_weights(shared / "negative" / "mnist.caffemodel", registry())


def test_a_solver_state_survives_a_round_trip(tmp_path: Path) -> None:
    history = [random_values((2, 3)), random_values((4,), seed=1)]
    state = TrainingState(37, "a.caffemodel", history, 2, {"losses": [0.25], "nets": []})
    PROTO.write_state(tmp_path / "a.solverstate", state)
    read = PROTO.read_state(tmp_path / "a.solverstate")
    assert (read.iter, read.learned_net, read.current_step) == (37, "a.caffemodel", 2)
    assert read.exact == {"losses": [0.25], "nets": []}
    for one, two in zip(read.history, history, strict=True):
        np.testing.assert_array_equal(one.data, two.data)


def test_a_binaryproto_survives_a_round_trip(tmp_path: Path) -> None:
    mean = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
    write_binaryproto(tmp_path / "mean.binaryproto", mean)
    np.testing.assert_array_equal(read_binaryproto(tmp_path / "mean.binaryproto"), mean)
    (tmp_path / "page.binaryproto").write_text("<html>not found</html>")
    with pytest.raises(CafxError, match="web page"):
        read_binaryproto(tmp_path / "page.binaryproto")


def test_the_error_for_a_shape_mismatch_names_layer_shapes_and_remedy(tmp_path: Path) -> None:
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: %d } }'
    )
    first, second = (Net(schema().parse_text(text % n, "NetParameter"), engine="numpy") for n in (2, 3))
    first.save(tmp_path / "a.caffemodel")
    before = second.params["ip"][0].host()
    with pytest.raises(CafxError, match=r"parameter 0 of layer 'ip'.*got 2×4, expected 3×4.*rename the layer"):
        second.copy_from(tmp_path / "a.caffemodel")
    np.testing.assert_array_equal(second.params["ip"][0].data, before)
