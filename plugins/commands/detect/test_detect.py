"""Objects in images: windows given or searched, suppressed, drawn and written."""

from __future__ import annotations

import csv
import doctest
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import plugin_suite
from cafx.kernel import TEST, TRAIN, Net, schema
from cafx_command_detect import geometry
from cafx_command_detect.files import COLOURS, draw
from cafx_command_detect.geometry import moved, warped
from cafx_command_detect.search import Detection
from cafx_lib_feed.images import encode, read_image
from cafx_lib_inputs import Scorer
from cafx_lib_preprocessing import Preprocessing

TestDetect = plugin_suite("command", "detect")

NET = """
name: "red" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 3 dim: 12 dim: 12 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
layer { name: "moves" type: "InnerProduct" bottom: "pool" top: "moves" inner_product_param { num_output: 8 } }
layer { name: "few" type: "InnerProduct" bottom: "pool" top: "few" inner_product_param { num_output: 7 } }
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
        net.params["moves"][1].mutable_data[...] = [0, 0, 0, 0, 0.1, 0, 0, 0]
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


@pytest.mark.slow
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
        "--zoom",
        "2",
        "--json",
    )
    best = json.loads(detect(*options).stdout)[0]
    assert best["label"] == "square"
    window = [best[name] for name in ("ymin", "xmin", "ymax", "xmax")]
    assert np.abs(np.subtract(window, OBJECT)).max() <= 3
    drawn, before = read_image(folder / "boxes/a.png"), read_image(folder / "a.png")
    assert drawn.shape == (160, 200, 3)
    assert (drawn[::2, ::2] != before).any()
    assert (drawn[-1] == before[-1].repeat(2, axis=0)).all()


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


@pytest.mark.parametrize("pad", [0, 2, 5])
@pytest.mark.parametrize("mode", ["warp", "square"])
@pytest.mark.parametrize("window", [OBJECT, (0, 0, 10, 20), (70, 33, 80, 100), (0, 0, 80, 100), (7, 9, 8, 10)])
def test_a_window_is_the_input_that_windowdata_makes_of_it(
    window: tuple[int, int, int, int], mode: str, pad: int, folder: Path
) -> None:
    top, left, bottom, right = window
    (folder / "list.txt").write_text(
        f"# 0\n{folder}/a.png\n3\n80\n100\n1\n1 1.0 {left} {top} {right - 1} {bottom - 1}\n"
    )
    options = f'source: "{folder}/list.txt" batch_size: 1 fg_fraction: 1 context_pad: {pad} crop_mode: "{mode}"'
    transform = "crop_size: 12 mean_value: 40.5"
    layer = f'type: "WindowData" top: "data" top: "label" window_data_param {{ {options} }} transform_param'
    text = f'layer {{ name: "data" {layer} {{ {transform} }} }}'
    with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine="numpy") as net:
        expected = net.forward()["data"][0]
    with Net(folder / "net.prototxt", TEST, engine="numpy") as net:
        scorer = Scorer(net, Preprocessing(mean=(40.5, 40.5, 40.5), resize="bilinear"))
        found = warped(read_image(folder / "a.png"), window, scorer, pad, mode == "square")
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(st.data())
def test_box_regression_finds_the_box_that_the_offsets_were_made_from(data: st.DataObject) -> None:
    def box() -> list[int]:
        top, left = data.draw(st.integers(0, 90)), data.draw(st.integers(0, 90))
        return [top, left, top + data.draw(st.integers(1, 100 - top)), left + data.draw(st.integers(1, 100 - left))]

    one, other = np.array([box()]), np.array([box()])
    size, target = one[:, 2:] - one[:, :2], other[:, 2:] - other[:, :2]
    shift = ((other[:, :2] + other[:, 2:]) - (one[:, :2] + one[:, 2:])) / 2 / size
    growth = np.log(target / size)
    moves = np.stack([shift[:, 1], shift[:, 0], growth[:, 1], growth[:, 0]], axis=1)
    if np.abs(moves).max() < geometry.MOST_MOVE:
        assert moved(one, moves, (100, 100)).tolist() == other.tolist()


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e30])
def test_boxes_stay_in_the_image_and_have_an_area_whatever_the_net_says(wild: float) -> None:
    windows = np.array([[0, 0, 5, 5], [5, 5, 10, 9]])
    found = moved(windows, np.full((2, 4), wild, np.float32), (10, 9))
    assert (found >= 0).all()
    assert (found[:, 2:] <= (10, 9)).all()
    assert (found[:, :2] < found[:, 2:]).all()


def test_a_label_at_the_right_border_is_drawn_within_the_picture(tmp_path: Path) -> None:
    dark = np.zeros((60, 200, 3), np.uint8)
    found = {}
    for right in (150, 200):
        draw(dark, [Detection((40, right - 12, 58, right), 0, "seven", 0.5)], tmp_path / "drawn.png")
        found[right] = (read_image(tmp_path / "drawn.png")[:38] == COLOURS[0]).all(axis=2).sum()
    assert found[200] == found[150] > 0


@pytest.mark.slow
def test_a_blob_moves_boxes_before_they_are_suppressed(detect: Run) -> None:
    options = ("-w", "w.caffemodel", "--windows", "w.csv", "--pad", "0", "--background", "0", "--boxes", "moves")
    (row,) = json.loads(detect(*options, "--json").stdout)
    assert [row[name] for name in ("ymin", "xmin", "ymax", "xmax")] == [20, 34, 60, 74]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("a.png",), "--weights FILE", 2),
        (("-w", "w.caffemodel"), "Name images", 2),
        (("-w", "w.caffemodel", "--windows", "labels.txt"), "not a table of windows", 1),
        (("-w", "w.caffemodel", "--windows", "none.csv"), "none.csv: cannot be read", 1),
        (("-w", "w.caffemodel", "--windows", "out.csv", "--pad", "0"), "outside of the image", 1),
        (("a.png", "-w", "w.caffemodel", "--pad", "6"), "--pad N with N up to 5", 1),
        (("-w", "w.caffemodel", "--windows", "w.csv", "--pad", "0", "--boxes", "few"), "dx, dy, dw, dh per class", 1),
        (("-w", "w.caffemodel", "--windows", "w.csv", "--pad", "0", "--boxes", "fc"), "no output 'fc'", 1),
        (("a.png", "-w", "w.caffemodel", "-context_pad", "3"), "Here it is --pad.", 2),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], message: str, code: int, detect: Run, folder: Path) -> None:
    (folder / "out.csv").write_text("filename,ymin,xmin,ymax,xmax\na.png,0,0,500,10\n")
    assert message in detect(*arguments, code=code).stderr


def test_examples_run() -> None:
    assert doctest.testmod(geometry) == (0, 5)
