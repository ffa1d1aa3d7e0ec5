"""``cafx onnx`` as people use it: files in a folder, what is printed, what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from cafx.cli.group import cafx
from cafx.cli.lazy import Settings
from cafx.conformance import plugin_suite
from cafx.kernel import TEST, CafxError, Net
from cafx_command_onnx.coverage import BEGIN, END
from cafx_lib_onnx import Session, properties_of, read_model, running

TestOnnx = plugin_suite("command", "onnx")

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared"
NET = """name: "Tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool1" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
DEPLOY = NET + 'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }\n'
TRAIN = (
    NET.replace(
        'type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } }',
        'type: "ImageData" top: "data" top: "label"'
        " transform_param { scale: 0.1 mean_value: 7 mean_value: 8 mean_value: 9 }"
        ' image_data_param { source: "list.txt" batch_size: 4 new_height: 8 new_width: 8 }',
    )
    + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }\n'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a deploy net, a train_val net, weights and images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    (tmp_path / "train_val.prototxt").write_text(TRAIN)
    Net(str(tmp_path / "deploy.prototxt"), TEST, engine="numpy", seed=5).save(tmp_path / "w.caffemodel")
    return tmp_path


@pytest.fixture
def images(folder: Path) -> Path:
    """Twelve images, light and dark, and a list of them."""
    import cv2

    rng = np.random.default_rng(0)
    for index in range(12):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 128, (10, 12, 3)) + 120 * (index % 2))
    (folder / "list.txt").write_text("".join(f"{folder}/{index}.png {index % 2}\n" for index in range(12)))
    return folder


def run(*arguments: str) -> Any:
    """Run a command; errors are raised."""
    return CliRunner().invoke(cafx, ["onnx", *arguments], obj=Settings())


def test_export_check_and_import(folder: Path) -> None:
    result = run("export", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel", "--mean", "104,117,123")
    assert result.exit_code == 0, result.output
    assert "inputs: data N×3×8×8; outputs: prob N×5" in result.stdout
    assert "minus 104, 117, 123" in result.stderr
    onnx.checker.check_model(str(folder / "net.onnx"), full_check=True)
    assert properties_of(read_model("net.onnx"))["mean"] == [104, 117, 123]
    result = run("check", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel", "--json", "--engine", "numpy")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["agrees"]
    assert [row["blob"] for row in found["blobs"]] == ["conv1", "pool1", "ip", "prob"]
    assert all(row["relative"] < 1e-5 for row in found["blobs"])
    result = run("import", "net.onnx", "back", "--batch", "2")
    assert result.exit_code == 0, result.output
    assert "back.caffemodel" in result.stdout
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    nets = [
        Net(f"{name}.prototxt", TEST, weights=weights, engine="numpy")
        for name, weights in (("deploy", "w.caffemodel"), ("back", "back.caffemodel"))
    ]
    one, two = (net.forward(data=x)["prob"] for net in nets)
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert [layer.name for layer in nets[1].layers] == [layer.name for layer in nets[0].layers]


def test_check_finds_another_weight(folder: Path) -> None:
    run("export", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel")
    Net("deploy.prototxt", TEST, engine="numpy", seed=6).save("other.caffemodel")
    result = run("check", "deploy.prototxt", "net.onnx", "-w", "other.caffemodel")
    assert result.exit_code == 1
    assert re.search(r"4 blobs DIFFER: largest difference [\d.]+ at '\w+'", result.stdout)


def test_check_takes_values_from_a_file(folder: Path) -> None:
    run("export", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel")
    np.save("x.npy", np.ones((3, 8, 8), np.float32))
    arguments = ("check", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel", "--runs", "0")
    assert "4 blobs agree" in run(*arguments, "--input", "data=x.npy").stdout
    np.save("bad.npy", np.ones((2, 8, 8), np.float32))
    result = run(*arguments, "--input", "data=bad.npy")
    assert isinstance(result.exception, CafxError)
    assert "does not have the shape of input 'data'" in str(result.exception)


def test_a_train_val_net_needs_its_data_or_a_shape(folder: Path) -> None:
    result = run("export", "train_val.prototxt", "net.onnx", "-w", "w.caffemodel")
    assert isinstance(result.exception, CafxError)
    assert "--shape data=" in str(result.exception)
    assert not (folder / "net.onnx").exists()
    result = run("export", "train_val.prototxt", "net.onnx", "-w", "w.caffemodel", "--shape", "data=1x3x8x8")
    assert result.exit_code == 0, result.output
    assert "outputs: prob N×5" in result.stdout
    assert "minus 7, 8, 9" in result.stderr
    assert "input 'label' is left out" in result.stderr


def test_a_data_layer_tells_shape_and_preprocessing(images: Path) -> None:
    result = run("export", "train_val.prototxt", "net.onnx", "-w", "w.caffemodel", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["inputs"] == {"data": "N×3×8×8"}
    found = properties_of(read_model("net.onnx"))
    assert (found["mean"], found["channels"]) == ([7, 8, 9], "BGR")


def test_baked_preprocessing_is_that_of_the_data_layer(images: Path) -> None:
    run("export", "train_val.prototxt", "plain.onnx", "-w", "w.caffemodel")
    result = run("export", "train_val.prototxt", "baked.onnx", "-w", "w.caffemodel", "--bake-preprocess")
    assert result.exit_code == 0, result.output
    rgb = np.random.default_rng(0).uniform(0, 255, (1, 3, 8, 8)).astype(np.float32)
    bgr = (rgb[:, ::-1] - np.array([7, 8, 9], np.float32).reshape(3, 1, 1)) * np.float32(0.1)
    expected = Session("plain.onnx").run({"data": bgr})["prob"]
    np.testing.assert_allclose(Session("baked.onnx").run({"data": rgb})["prob"], expected, atol=1e-5)


def test_import_does_not_overwrite_the_net_that_was_exported(folder: Path) -> None:
    run("export", "deploy.prototxt", "deploy.onnx", "-w", "w.caffemodel")
    result = run("import", "deploy.onnx")
    assert "already exists" in str(result.exception)
    assert (folder / "deploy.prototxt").read_text() == DEPLOY
    (folder / "deploy.onnx").rename("other.onnx")
    assert run("import", "other.onnx").exit_code == 0
    assert (folder / "other.caffemodel").is_file()


@pytest.mark.slow
def test_large_weights_beside_the_model(folder: Path) -> None:
    result = run("export", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel", "--external-data")
    assert result.exit_code == 0, result.output
    assert (folder / "net.onnx.data").is_file() == ("net.onnx.data" in result.stdout)
    assert run("check", "deploy.prototxt", "net.onnx", "-w", "w.caffemodel").exit_code == 0
    assert run("import", "net.onnx", "back").exit_code == 0


def test_quantize_calibrates_from_the_net_s_own_data_layer(images: Path) -> None:
    result = run("quantize", "train_val.prototxt", "int8.onnx", "-w", "w.caffemodel", "--calibrate", "8", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert [row["type"] for row in found["models"]] == ["float32", "int8"]
    assert found["items"] == 12
    assert all(0 <= row["accuracy"] <= 1 and row["images_per_second"] > 0 for row in found["models"])
    assert found["agreement"] > 0.7
    model = onnx.load("int8.onnx")
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    scales = {
        each.name: each.dims for each in model.graph.initializer if "conv1.0" in each.name and "scale" in each.name
    }
    assert list(scales.values()) == [[4]], "one scale per output channel"


def test_quantize_a_deploy_net_with_images(images: Path) -> None:
    arguments = ("quantize", "deploy.prototxt", "int8.onnx", "-w", "w.caffemodel", "--calibrate", "8")
    result = run(*arguments)
    assert isinstance(result.exception, CafxError)
    assert "nothing to calibrate with" in str(result.exception)
    result = run(*arguments, "--images", str(images), "--mean", "100,100,100")
    assert result.exit_code == 0, result.output
    assert "of 12 items" in result.stdout


def test_a_missing_runtime_is_named_with_the_line_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for arguments in (
        ("check", "deploy.prototxt", "x.onnx"),
        ("quantize", "deploy.prototxt", "x.onnx", "-w", "w.caffemodel"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, CafxError)
        assert f'pip install "{running.RUNTIME}"' in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "missing.prototxt", "out.onnx"),
        ("export", "deploy.prototxt", "no/folder/out.onnx"),
        ("export", "deploy.prototxt", "out.onnx", "-w", "deploy.prototxt"),
        ("export", "deploy.prototxt", "out.onnx", "--shape", "nothing=1x3"),
        ("export", "deploy.prototxt", "out.onnx", "--preprocessing", "missing.json"),
        ("check", "deploy.prototxt", "deploy.prototxt"),
        ("check", "deploy.prototxt", "missing.onnx"),
        ("import", "deploy.prototxt", "out"),
        ("import", "missing.onnx", "out"),
    ],
)
def test_wrong_files_are_told_in_one_line_and_leave_nothing(folder: Path, arguments: tuple[str, ...]) -> None:
    before = set(folder.iterdir())
    result = run(*arguments)
    assert isinstance(result.exception, CafxError), result.output
    assert "\n" not in str(result.exception)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("text", ["data", "data=", "data=1x-3", "data=0x3", "data=9999999x9999999", "=1x3", "data=1xa"])
def test_a_shape_that_is_none_is_a_usage_error(folder: Path, text: str) -> None:
    assert run("export", "deploy.prototxt", "out.onnx", "--shape", text).exit_code == 2


@pytest.mark.slow
def test_help_has_an_example() -> None:
    for command in ("export", "import", "check", "quantize", "coverage"):
        assert "Example:" in run(command, "--help").stdout


@pytest.mark.slow
def test_the_commands_import_nothing_heavy() -> None:
    code = "import sys, cafx_command_onnx; print([m for m in ('onnx', 'onnxruntime', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_of_layers_is_up_to_date() -> None:
    text = (ROOT / "contrib/docs/pages/onnx.md").read_text("utf-8")
    inside = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert inside == run("coverage").stdout.strip(), "run: cafx onnx coverage --into contrib/docs/pages/onnx.md"


@pytest.mark.slow
def test_squeezenet_agrees_with_onnxruntime_in_a_process_of_its_own(tmp_path: Path) -> None:
    model = SHARED / "models/squeezenet_v1.0"
    if not model.is_dir():
        pytest.skip(f"{model} is not here")
    net, weights = model / "SqueezeNet_deploy.prototxt", model / "decompressed_SqueezeNet.caffemodel"
    for arguments in (("export", net, "s.onnx", "-q"), ("check", net, "s.onnx", "-q", "--runs", "1")):
        command = [sys.executable, "-m", "cafx.cli", "onnx", *map(str, arguments), "-w", str(weights)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    assert "38 blobs agree" in done.stdout
