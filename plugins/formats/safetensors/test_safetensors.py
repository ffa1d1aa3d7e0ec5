"""Safetensors files: bits survive, shared parameters are stored once, damaged and hostile files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Net, registry, schema
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, format_of, read_weights
from cafx_format_safetensors import Header, Malformed, Safetensors

TestSafetensors = plugin_suite("format", "SAFETENSORS")

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def written(path: Path, layers: list[LayerWeights], names: tuple[str, ...] = ()) -> Path:
    """A file with layers whose first parameter has a name."""
    net = schema()["NetParameter"]()
    for index, layer in enumerate(layers):
        proto = net.layer.add(name=layer.name, type=layer.type)
        if index < len(names):
            proto.param.add(name=names[index])
    Safetensors(registry()).write_weights(path, net, layers)
    return path


def raw(header: Any, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


def blob(shape: tuple[int, ...], dtype: str, bits: bytes) -> Any:
    count = int(np.prod(shape, dtype=int))
    size = count * np.dtype(dtype).itemsize
    return np.frombuffer((bits * (size // max(1, len(bits)) + 1))[:size], dtype)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(st.tuples(SHAPES, st.sampled_from(["<f2", "<f4", "<f8"]), st.booleans(), st.booleans()), max_size=4),
    st.binary(min_size=1, max_size=40),
)
def test_every_bit_survives(tmp_path_factory: Any, kinds: list[Any], bits: bytes) -> None:
    blobs = [
        BlobValues(shape, blob(shape, dtype, bits), blob(shape, dtype, bits[::-1]) if diff else None, legacy)
        for shape, dtype, diff, legacy in kinds
    ]
    layers = [LayerWeights("b/1.x", blobs, "Convolution"), LayerWeights("a", [], "ReLU"), LayerWeights("0", blobs[:1])]
    path = written(tmp_path_factory.mktemp("s") / "w.safetensors", layers)
    assert isinstance(format_of(path, registry()), Safetensors)
    read = read_weights(path, registry())
    assert [(layer.name, layer.type) for layer in read] == [(layer.name, layer.type) for layer in layers]
    for ours, theirs in zip(read, layers, strict=True):
        for one, other in zip(ours.blobs, theirs.blobs, strict=True):
            assert (one.shape, one.data.dtype, one.legacy) == (other.shape, other.data.dtype, other.legacy)
            assert one.data.tobytes() == other.data.tobytes()
            assert (one.diff is None) == (other.diff is None)
            assert one.diff is None or one.diff.tobytes() == other.diff.tobytes()


def test_a_shared_parameter_is_stored_once(tmp_path: Path) -> None:
    values = np.arange(1000, dtype="f4")
    one, equal = BlobValues((10, 100), values), BlobValues((10, 100), values.copy())
    other = BlobValues((10, 100), values + 1)
    layers = [LayerWeights(name, [each]) for name, each in (("a", one), ("b", equal), ("c", other), ("d", equal))]
    path = written(tmp_path / "w.safetensors", layers, names=("w", "w", "w"))
    assert 3 * values.nbytes < path.stat().st_size < 3 * values.nbytes + 1000
    read = read_weights(path, registry())
    assert [float(layer.blobs[0].data[0]) for layer in read] == [0, 0, 1, 0]
    assert read[0].blobs[0].data is read[1].blobs[0].data
    assert read[0].blobs[0].data is not read[3].blobs[0].data
    layers[1] = LayerWeights("b", [BlobValues(ABSENT, np.empty(0))])
    read = read_weights(written(tmp_path / "absent.safetensors", layers, names=("w", "w", "w")), registry())
    assert read[1].blobs[0].shape == (10, 100)
    with pytest.raises(CafxError, match=r"nothing says whose parameter 'b.0' shares"):
        written(tmp_path / "lost.safetensors", layers)
    assert not (tmp_path / "lost.safetensors").exists()


def test_a_net_saves_and_loads_it_by_its_suffix(tmp_path: Path) -> None:
    text = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }"""
    one, two = (Net(schema().parse_text(text, "NetParameter"), engine="numpy", seed=seed) for seed in (1, 2))
    one.save(tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").read_bytes()[8:9] == b"{"
    two.copy_from(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(one.params["ip"][0].data, two.params["ip"][0].data)


def test_a_file_of_another_program_is_read(tmp_path: Path) -> None:
    """As the library of the format writes it: sorted names, no metadata of ours, half precision."""
    half, brain = np.array([1.5, -2], "<f2"), np.array([0x3FC0, 0xC000], "<u2")
    header = {
        "__metadata__": {"format": "pt"},
        "conv.0": {"dtype": "F16", "shape": [1, 2], "data_offsets": [0, 4]},
        "conv.1": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 8]},
    }
    (tmp_path / "w").write_bytes(raw(header, half.tobytes() + brain.tobytes()))
    (layer,) = read_weights(tmp_path / "w", registry())
    assert [each.data.tolist() for each in layer.blobs] == [[1.5, -2], [1.5, -2]]
    safetensors = pytest.importorskip("safetensors.numpy", reason="interoperability needs 'pip install safetensors'")
    safetensors.save_file({"ip.0": np.ones((2, 3), "f4")}, tmp_path / "theirs")
    assert read_weights(tmp_path / "theirs", registry())[0].blobs[0].shape == (2, 3)
    path = written(tmp_path / "ours", [LayerWeights("ip", [BlobValues((2,), np.ones(2, "f4"))], "InnerProduct")])
    assert safetensors.load_file(path)["ip.0"].tolist() == [1, 1]


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": b"",
    "short": b"\x10\0\0",
    "ends within its header": (100).to_bytes(8, "little") + b'{"a":1}',
    "a huge header": (1 << 62).to_bytes(8, "little") + b"{",
    "deep": raw(b'{"a":' + b"[" * 100_000),
    "a long number": raw(b'{"a.0":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', bytes(8)),
    "a list": raw(b'["a"]'),
    "twice": raw(b'{"a.0":' + json.dumps(ONE).encode() + b',"a.0":' + json.dumps(ONE).encode() + b"}", bytes(8)),
    "larger than the file": raw({"a.0": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, bytes(8)),
    "overflow": raw({"a.0": {"dtype": "F32", "shape": [1 << 62, 4, 1 << 62], "data_offsets": [0, 8]}}, bytes(8)),
    "negative": raw({"a.0": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}, bytes(8)),
    "booleans": raw({"a.0": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}}, bytes(8)),
    "overlap": raw({"a.0": ONE, "b.0": ONE}, bytes(8)),
    "hole": raw({"a.0": {**ONE, "data_offsets": [4, 12]}}, bytes(12)),
    "more bytes": raw({"a.0": ONE}, bytes(9)),
    "truncated": raw({"a.0": ONE}, bytes(7)),
    "integers": raw({"a.0": {**ONE, "dtype": "I32"}}, bytes(8)),
    "unnamed": raw({"conv1.weight": ONE}, bytes(8)),
    "many axes": raw({"a.0": {**ONE, "shape": [1] * 5000 + [2]}}, bytes(8)),
    "a gap": raw({"a.1": ONE}, bytes(8)),
    "a lone gradient": raw({"a.0.diff": ONE}, bytes(8)),
    "metadata": raw({"__metadata__": {"cafx": 3}, "a.0": ONE}, bytes(8)),
    "our metadata": raw({"__metadata__": {"cafx": '{"layers": 3}'}, "a.0": ONE}, bytes(8)),
    "deep metadata": raw({"__metadata__": {"cafx": "[" * 100_000}, "a.0": ONE}, bytes(8)),
    "a shared circle": raw({"__metadata__": {"cafx": '{"shared": {"b.0": "b.0"}}'}, "a.0": ONE}, bytes(8)),
    "nothing": raw({}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_or_hostile_file_is_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(CafxError, match=r"w\.safetensors") as caught:
        Safetensors(registry()).read_weights(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 120))
def test_no_bytes_break_the_header(data: bytes, length: int) -> None:
    for candidate in (data, length.to_bytes(8, "little") + data, raw(b'{"a.0":' + data + b"}")):
        with pytest.raises(Malformed):
            Header.parse(memoryview(candidate + b"!"))


def test_a_caffemodel_is_not_taken_for_one(shared: Path) -> None:
    paths = sorted([*shared.glob("models/**/*.caffemodel*"), *shared.glob("models/**/*.solverstate*")])
    assert paths
    assert [path for path in paths if Safetensors(registry()).recognises(path.read_bytes()[:512])] == []
