"""ONNX files: large weights beside the model, and files that somebody made to do harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cafx.kernel import CafxError
from cafx_lib_onnx import (
    Session,
    array_of,
    bake,
    describe,
    files,
    import_model,
    properties_of,
    read_model,
    running,
    save_model,
)
from cafx_lib_preprocessing import Preprocessing

WEIGHTS = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)


def model(weights: TensorProto | None = None, nodes: list[Any] | None = None, **more: Any) -> onnx.ModelProto:
    """x · weights."""
    tensor = weights or numpy_helper.from_array(WEIGHTS, "w")
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, 40]), ("y", None))
    )
    graph = helper.make_graph(nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, **more)


def test_large_weights_lie_beside_the_model(tmp_path: Path) -> None:
    x = np.ones((1, 40), np.float32)
    together, apart = tmp_path / "one.onnx", tmp_path / "two.onnx"
    assert save_model(model(), together) == [together]
    assert save_model(model(), apart, external=True) == [apart, tmp_path / "two.onnx.data"]
    assert apart.stat().st_size < 500 < together.stat().st_size
    assert read_model(apart).graph.initializer[0].raw_data == WEIGHTS.tobytes()
    np.testing.assert_allclose(Session(apart).run({"x": x})["y"], x @ WEIGHTS, rtol=1e-5)


def test_a_model_too_large_for_one_message_is_split_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, running):
        monkeypatch.setattr(module, "LARGEST", 4000)
    assert len(save_model(model(), tmp_path / "m.onnx")) == 2
    x = np.ones((1, 40), np.float32)
    np.testing.assert_allclose(Session(model()).run({"x": x})["y"], x @ WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "a/../../secret", "nul\0l"])
def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "inner"
    folder.mkdir()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "m.onnx").write_bytes(model(tensor).SerializeToString())
    with pytest.raises(CafxError, match="not in the model's folder"):
        read_model(folder / "m.onnx")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "w.data").symlink_to(tmp_path / "secret")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.data")
    (folder / "m.onnx").write_bytes(model(tensor).SerializeToString())
    with pytest.raises(CafxError, match="not in the model's folder"):
        read_model(folder / "m.onnx")


@pytest.mark.parametrize(
    ("key", "value"), [("length", "9999999999"), ("offset", "-8"), ("offset", "8"), ("length", "x")]
)
def test_weights_of_another_size_are_refused_before_they_are_read(tmp_path: Path, key: str, value: str) -> None:
    save_model(model(), tmp_path / "m.onnx", external=True)
    changed = onnx.ModelProto.FromString((tmp_path / "m.onnx").read_bytes())
    for entry in changed.graph.initializer[0].external_data:
        entry.value = value if entry.key == key else entry.value
    (tmp_path / "m.onnx").write_bytes(changed.SerializeToString())
    with pytest.raises(CafxError, match="says"):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("dims", [[1 << 40, 1 << 40], [-1, 5], [1] * 40, [40, 31]])
def test_a_tensor_that_lies_about_its_shape_is_refused_before_memory_is_allocated(dims: list[int]) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=WEIGHTS.tobytes())
    with pytest.raises(CafxError):
        array_of(tensor)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_model_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(CafxError, match="not an ONNX model"):
        read_model(path)


@pytest.mark.parametrize("cut", [1, 100, 2400, 4000])
def test_a_truncated_model_is_refused(tmp_path: Path, cut: int) -> None:
    whole = model().SerializeToString()
    (tmp_path / "m.onnx").write_bytes(whole[:-cut])
    with pytest.raises(CafxError):
        import_model(read_model(tmp_path / "m.onnx"))


def test_a_shape_that_would_fill_the_memory_is_refused() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Expand", ["h", "s"], ["y"])]
    big = model(nodes=nodes)
    big.graph.initializer.append(numpy_helper.from_array(np.array([1 << 40, 30]), "s"))
    with pytest.raises(CafxError):
        import_model(big)


def test_a_value_that_nothing_computes_is_an_error() -> None:
    with pytest.raises(CafxError, match="not computed before: got nowhere"):
        import_model(model(nodes=[helper.make_node("Add", ["x", "nowhere"], ["y"])]))


def test_metadata_say_how_images_become_the_input() -> None:
    written = model()
    record = Preprocessing(size=(256, 256), mean=(104, 117, 123), labels=("cat", "dog"), scale=0.5)
    describe(written, record)
    found = properties_of(written)
    assert (found["channels"], found["mean"], found["scale"], found["labels"]) == (
        "BGR",
        [104, 117, 123],
        0.5,
        ["cat", "dog"],
    )
    assert found["preprocessing"] == record.describe()


def test_baked_preprocessing_takes_rgb_pixels() -> None:
    node = helper.make_node("Relu", ["data"], ["y"])
    data, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 2, 2]) for name in ("data", "y"))
    graph = helper.make_graph([node], "g", [data], [y])
    baked = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    mean = np.array([10, 20, 30], np.float32).reshape(3, 1, 1)
    bake(baked, "data", Preprocessing(mean=(10, 20, 30), scale=0.5), mean)
    onnx.checker.check_model(baked, full_check=True)
    rgb = np.random.default_rng(0).uniform(0, 255, (2, 3, 2, 2)).astype(np.float32)
    expected = np.maximum((rgb[:, ::-1] - mean) * 0.5, 0)
    np.testing.assert_allclose(Session(baked).run({"data": rgb})["y"], expected, rtol=1e-6)
