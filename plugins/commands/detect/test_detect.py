"""Objects in images: windows given or searched, suppressed, drawn and written."""

from __future__ import annotations

import csv
import doctest
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cafx_command_detect
from cafx.kernel import TEST, Net
from cafx_command_detect import crop
from cafx_lib_feed.images import encode, read_image

NET = """
name: "red" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 3 dim: 12 dim: 12 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
OBJECT = (20, 30, 60, 70)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A net that scores the redness of a window, and a picture of a red square."""
    (tmp_path / "net.prototxt").write_text(NET)
    with Net(tmp_path / "net.prototxt", TEST, engine="numpy") as net:
        net.params["fc"][0].mutable_data[...] = [[0, 0, 0], [-0.1, -0.1, 0.1]]
        net.params["fc"][1].mutable_data[...] = [0, -20]
        net.save(tmp_path / "w.caffemodel")
    image = np.full((80, 100, 3), 40, np.uint8)
    image[20:60, 30:70] = (0, 0, 250)
    (tmp_path / "a.png").write_bytes(encode(image, ".png", "a"))
    (tmp_path / "labels.txt").write_text("nothing\nsquare\n")
    (tmp_path / "w.csv").write_text(
        "filename,ymin,xmin,ymax,xmax\na.png,20,30,60,70\na.png,20,30,58,70\na.png,0,0,10,10\n"
    )
    return tmp_path


@pytest.fixture
def detect(folder: Path) -> Run:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cafx.cli", "detect", "net.prototxt", *arguments]
        result = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=120, check=False)
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return run


def test_given_windows_are_scored_and_suppressed(detect: Run, folder: Path) -> None:
    options = ("-w", "w.caffemodel", "--windows", "w.csv", "--pad", "0", "--background", "0", "--labels", "labels.txt")
    output = detect(*options, "--csv", "out.csv").stdout
    assert "a.png: 1 detection\n" in output
    (row,) = csv.DictReader((folder / "out.csv").open())
    assert tuple(int(row[name]) for name in ("ymin", "xmin", "ymax", "xmax")) == OBJECT
    assert (row["filename"], row["class"], row["label"]) == ("a.png", "1", "square")
    assert float(row["score"]) == pytest.approx(1 / (1 + np.exp(-5)), rel=1e-4)


@pytest.mark.slow
def test_selective_search_finds_the_square_and_draws_it(detect: Run, folder: Path) -> None:
    options = (
        "a.png",
        "-weights=w.caffemodel",
        "--pad=0",
        "--background=0",
        "--labels=labels.txt",
        "--out",
        "boxes",
        "--json",
    )
    best = json.loads(detect(*options).stdout)[0]
    assert best["label"] == "square"
    window = [best[name] for name in ("ymin", "xmin", "ymax", "xmax")]
    assert np.abs(np.subtract(window, OBJECT)).max() <= 3
    drawn, before = read_image(folder / "boxes/a.png"), read_image(folder / "a.png")
    assert drawn.shape == before.shape
    assert (drawn != before).any()


@pytest.mark.slow
def test_context_lowers_the_score_of_a_window(detect: Run) -> None:
    scores = [
        json.loads(
            detect("-w", "w.caffemodel", "--windows", "w.csv", "--pad", pad, "--threshold", "0", "--json").stdout
        )
        for pad in ("0", "3")
    ]
    red = [max(row["score"] for row in each if row["class"] == 1) for each in scores]
    assert red[1] < red[0]


@pytest.mark.parametrize(
    ("window", "pad", "rows", "columns"),
    [
        ((20, 30, 60, 70), 0, range(20, 60), range(30, 70)),
        ((20, 30, 40, 70), 3, range(10, 50), range(10, 90)),
        ((0, 0, 10, 20), 3, [0] * 5 + list(range(15)), [0] * 10 + list(range(30))),
    ],
)
def test_context_is_as_wide_in_the_input_as_asked(window: Any, pad: int, rows: Any, columns: Any) -> None:
    image = np.arange(80 * 100).reshape(80, 100, 1)
    scorer: Any = SimpleNamespace(height=12, width=12)
    assert (crop(image, window, scorer, pad) == image[np.ix_(list(rows), list(columns))]).all()


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("a.png",), "--weights FILE", 2),
        (("-w", "w.caffemodel"), "Name images", 2),
        (("-w", "w.caffemodel", "--windows", "labels.txt"), "not a table of windows", 1),
        (("-w", "w.caffemodel", "--windows", "none.csv"), "none.csv: cannot be read", 1),
        (("-w", "w.caffemodel", "--windows", "out.csv"), "outside of the image", 1),
        (("a.png", "-w", "w.caffemodel", "-context_pad", "3"), "Here it is --pad.", 2),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], message: str, code: int, detect: Run, folder: Path) -> None:
    (folder / "out.csv").write_text("filename,ymin,xmin,ymax,xmax\na.png,0,0,500,10\n")
    assert message in detect(*arguments, code=code).stderr


def test_examples_run() -> None:
    assert doctest.testmod(cafx_command_detect) == (0, 3)
