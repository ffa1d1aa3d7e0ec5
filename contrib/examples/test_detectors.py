"""The SSD and Faster R-CNN examples learn to find digits, and their programs and prototxts define the same nets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cafx.kernel import Net, Phase, schema

SSD, FASTER_RCNN = "ssd_digits", "faster_rcnn_digits"
EXPECTED = {SSD: 0.90, FASTER_RCNN: 0.85}
SHORT = {
    SSD: ["max_iter=100", "stepvalue=75", "test_interval=100", "test_iter=4"],
    FASTER_RCNN: ["max_iter=600", "stepvalue=450", "test_interval=600", "test_iter=100"],
}
EXPECTED_AFTER_SHORT = {SSD: 0.15, FASTER_RCNN: 0.2}  # of random boxes and classes: below 0.01
TIMEOUT = 3600


@pytest.fixture
def examples(tmp_path: Path, copy_examples: Callable[[Path], Path]) -> Path:
    """A copy of the examples."""
    return copy_examples(tmp_path / "examples")


@pytest.fixture
def noise(tmp_path: Path, write_mnist: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A few random images in place of MNIST's digits."""
    folder = tmp_path / "idx"
    folder.mkdir()
    write_mnist(folder, np.random.default_rng(0), train=20, test=20)
    monkeypatch.setenv("CAFX_DATA", str(folder))


def run(folder: Path, *command: str) -> str:
    """Run Python in ``folder`` and return its output."""
    process = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=dict(os.environ),
        text=True,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def mean_precision(folder: Path, *changes: str) -> float:
    """The mAP of the last test of a training."""
    settings = [word for change in changes for word in ("--set", change)]
    result = json.loads(run(folder, "-m", "cafx.cli", "train", "net.py", "--json", "-q", *settings))
    return result["scores"][0]["mAP"]


@pytest.mark.slow
@pytest.mark.parametrize("example", [SSD, FASTER_RCNN])
def test_a_detector_learns_in_a_minute(example: str, examples: Path) -> None:
    pytest.importorskip("sklearn")
    assert mean_precision(examples / example, *SHORT[example]) >= EXPECTED_AFTER_SHORT[example]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("example", [SSD, FASTER_RCNN])
def test_a_detector_reaches_the_expected_precision(example: str, examples: Path) -> None:
    pytest.importorskip("sklearn")
    assert mean_precision(examples / example) >= EXPECTED[example]


@pytest.mark.usefixtures("noise")
@pytest.mark.parametrize("example", [SSD, pytest.param(FASTER_RCNN, marks=pytest.mark.slow)])
def test_the_program_emits_the_prototxt(example: str, examples: Path) -> None:
    place = examples / example
    emitted = schema().parse_text(run(place, "-m", "cafx.cli", "emit", "net.py"), "SolverParameter")
    written = schema().read_text(place / "solver.prototxt", "SolverParameter")
    written.net_param.CopyFrom(schema().read_text(place / written.net, "NetParameter"))
    written.ClearField("net")
    assert schema().to_text(emitted) == schema().to_text(written)


@pytest.mark.slow
@pytest.mark.usefixtures("noise")
@pytest.mark.parametrize("example", [SSD, FASTER_RCNN])
def test_detections_are_drawn(example: str, examples: Path) -> None:
    place = examples / example
    run(place, "-m", "cafx.cli", "train", "net.py", "-q", "--set", "max_iter=1")
    weights = f"snapshots/{'ssd' if example == SSD else 'faster_rcnn'}_iter_1.caffemodel"
    run(place, f"../{SSD}/draw.py", "net.py", weights, "out.png", "--count", "2", "--threshold", "0.01")
    picture = cv2.imread(str(place / "out.png"))
    assert picture.shape[0] == 3 * 128
    assert (picture == (0, 255, 0)).all(axis=2).any()


def boxes_of(regions: np.ndarray, offsets: np.ndarray, deviation: float) -> np.ndarray:
    """Boxes of one class in pixels, right and lower edge outside, by the formulas of Faster R-CNN."""
    boxes = []
    for (_, x1, y1, x2, y2), (dx, dy, dw, dh) in zip(regions, offsets * deviation, strict=True):
        width, height = x2 - x1 + 1, y2 - y1 + 1
        x, y = x1 + width / 2 + dx * width, y1 + height / 2 + dy * height
        width, height = width * np.exp(dw), height * np.exp(dh)
        boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return np.array(boxes)


@pytest.mark.slow
@pytest.mark.usefixtures("noise")
def test_the_detections_of_faster_rcnn_are_decoded_from_its_regions(examples: Path) -> None:
    place = examples / FASTER_RCNN
    run(place, "-m", "cafx.cli", "emit", "net.py")  # creates the databases
    net = built(place)
    offsets = next(layer for layer in net.layers if layer.name == "bbox_pred")
    offsets.blobs[0].mutable_data[...] *= 300  # far enough from 0 to move the boxes
    net.forward()
    rois, offsets, found = (net.blobs[name].host() for name in ("rois", "bbox_pred", "detections"))
    for label in range(1, 11):
        boxes = boxes_of(rois, offsets[:, 4 * label : 4 * label + 4], 0.1) / 128
        for row in found[0, 0][found[0, 0, :, 1] == label]:
            assert np.abs(boxes - row[3:]).max(axis=1).min() < 1e-4
    assert len(found[0, 0]) > 10


def built(place: Path) -> Any:
    """The net of a folder's prototxt, in TEST phase."""
    net = schema().read_text(place / "train_test.prototxt", "NetParameter")
    for layer in net.layer:
        for message, field in (("data_param", "source"), ("annotated_data_param", "label_map_file")):
            if layer.type == "AnnotatedData":
                options = getattr(layer, message)
                setattr(options, field, str(place / getattr(options, field)))
        if layer.type == "DetectionEvaluate":
            options = layer.detection_evaluate_param
            options.name_size_file = str(place / options.name_size_file)
    return Net(net, Phase.TEST, engine="numpy", seed=1)
