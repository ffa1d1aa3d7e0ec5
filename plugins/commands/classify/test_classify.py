"""The classes of images, from a net that tells colours apart."""

from __future__ import annotations

import csv
import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import TEST, Net
from cafx_lib_feed.images import encode

TestClassify = plugin_suite("command", "classify")

NET = """
name: "colours" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
COLOURS = {"blue": (255, 0, 0), "green": (0, 255, 0), "red": (0, 0, 255)}
Run = Callable[..., subprocess.CompletedProcess[str]]
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A net whose class is the strongest of blue, green and red, and a picture of each."""
    (tmp_path / "net.prototxt").write_text(NET)
    with Net(tmp_path / "net.prototxt", TEST, engine="numpy") as net:
        net.params["fc"][0].mutable_data[...] = np.eye(3) / 100
        net.save(tmp_path / "w.caffemodel")
    (tmp_path / "photos").mkdir()
    for name, colour in COLOURS.items():
        image = np.zeros((8, 10, 3), np.uint8)
        image[:] = colour
        (tmp_path / f"photos/{name}.png").write_bytes(encode(image, ".png", name))
    (tmp_path / "labels.txt").write_text("a blue\na green\na red\n")
    return tmp_path


@pytest.fixture
def classify(folder: Path) -> Run:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cafx.cli", "classify", "net.prototxt", *arguments]
        result = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=120, check=False)
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.mark.slow
def test_folders_files_and_patterns_are_classified(classify: Run) -> None:
    output = classify("photos", "photos/*d.png", "-weights", "w.caffemodel", "--labels=labels.txt", "--top", "1").stdout
    lines = [line.split() for line in output.splitlines()]
    assert [line[0] for line in lines[::2]] == [f"photos/{name}.png" for name in ("blue", "green", "red", "red")]
    assert [line[2] for line in lines[1::2]] == ["blue", "green", "red", "red"]


@pytest.mark.slow
def test_json_and_csv_have_the_same_scores(classify: Run) -> None:
    arguments = ("photos/green.png", "-w", "w.caffemodel", "--mean", "0,0,0", "--crops", "10")
    (found,) = json.loads(classify(*arguments, "--json").stdout)
    rows = list(csv.DictReader(classify(*arguments, "--csv").stdout.splitlines()))
    assert found["file"] == "photos/green.png"
    assert [each["class"] for each in found["top"]] == [1, 0, 2] == [int(row["class"]) for row in rows]
    expected = np.exp([2.55, 0, 0]) / np.exp([2.55, 0, 0]).sum()
    np.testing.assert_allclose([each["score"] for each in found["top"]], expected, rtol=1e-5)
    np.testing.assert_allclose([float(row["score"]) for row in rows], expected, rtol=1e-5)


@pytest.mark.slow
def test_mean_and_scale_are_applied_before_the_net(classify: Run) -> None:
    arguments = (
        "photos/red.png",
        "-w",
        "w.caffemodel",
        "--mean",
        "0,0,255",
        "--scale",
        "0.1",
        "--size",
        "7x7",
        "--json",
    )
    (found,) = json.loads(classify(*arguments).stdout)
    assert [each["score"] for each in found["top"]] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("photos",), "--weights FILE", 2),
        slow(("nowhere.png", "-w", "w.caffemodel"), "nowhere.png: no such file", 1),
        slow(("photos", "-w", "w.caffemodel", "--labels", "net.prototxt"), "wrong number of labels", 1),
        slow(("photos", "-w", "w.caffemodel", "--size", "5x5"), "smaller than the crops", 1),
        slow(("photos", "-w", "w.caffemodel", "--size", "big"), "not a size", 2),
        slow(("photos", "--pretrained_model=w.caffemodel"), "Here it is --weights.", 2),
        slow(("labels.txt", "-w", "w.caffemodel"), "cannot be decoded", 1),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], message: str, code: int, classify: Run) -> None:
    assert message in classify(*arguments, code=code).stderr


@pytest.mark.slow
@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_job_gives_the_same_classes(form: str, classify: Run) -> None:
    arguments = ("photos", "photos/*d.png", "-w", "w.caffemodel", "--mean", "1,2,3", "--labels", "labels.txt", form)
    job = classify(*arguments, "--executor", "local", "--workers", "1")
    assert job.stdout == classify(*arguments).stdout
    assert "classifying: 4 images" in job.stderr
