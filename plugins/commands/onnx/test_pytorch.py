"""Models that PyTorch exports import, agree with it, and learn. PyTorch lives in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import Solver, schema
from cafx_lib_onnx import import_model, read_model

SCRIPT = Path(__file__).with_name("pytorch_models.py")
PYTHON = os.environ.get("CAFX_TORCH_PYTHON", "")
"""A Python that has torch, onnx and onnxscript."""
NAMES = ("alexnet", "vgg16", "resnet18", "resnet50", "squeezenet", "mobilenet_v2", "googlenet")
TOLERANCE = 1e-4
STEPS = 8


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which PyTorch has written its models."""
    if not PYTHON:
        pytest.skip("CAFX_TORCH_PYTHON does not name a Python with torch, onnx and onnxscript")
    folder = tmp_path_factory.mktemp("torch")
    subprocess.run([PYTHON, str(SCRIPT), str(folder), *NAMES], check=True, timeout=3600)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_pytorch_agrees_and_learns(exported: Path, name: str, opset: int) -> None:
    known = np.load(exported / f"{name}.npz")
    imported = import_model(read_model(exported / f"{name}-{opset}.onnx"), batch=len(known["x"]))
    net = imported.build()
    (scores,) = net.forward(data=known["x"]).values()
    assert np.abs(scores - known["y"]).max() <= TOLERANCE * max(1.0, np.abs(known["y"]).max())
    losses = learned(imported, net, known["x"])
    assert losses[-1] < losses[0]


def learned(imported: Any, net: Any, x: Any) -> list[float]:
    """The loss before and after a few steps towards labels."""
    proto = imported.proto
    top = next(iter(net.outputs))
    proto.layer.add(name="label", type="Input", top=["label"]).input_param.shape.add().dim.append(len(x))
    probabilities = next(each for each in proto.layer if top in each.top and each.type != "ReLU").type == "Softmax"
    loss = "MultinomialLogisticLoss" if probabilities else "SoftmaxWithLoss"
    proto.layer.add(name="loss", type=loss, bottom=[top, "label"], top=["loss"])
    options = 'base_lr: 0.002 lr_policy: "fixed" momentum: 0.9 type: "SGD" max_iter: 100'
    message = schema().parse_text(options, "SolverParameter")
    message.net_param.CopyFrom(proto)
    solver = Solver(message)
    solver.net.copy_from(net)
    solver.net.blobs["data"].set_data(x)
    solver.net.blobs["label"].set_data(np.arange(len(x)))
    losses = []
    for _ in range(STEPS):
        solver.step(1)
        losses.append(solver.net.loss)
    return losses
