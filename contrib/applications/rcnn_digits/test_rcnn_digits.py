"""R-CNN: the program and the prototxt agree, the steps around the net are right, and digits are found."""

from __future__ import annotations

import json
from typing import Any

import pytest

BLANK = "import numpy as np; from rcnn import *; "
EXAMPLE = """
truth = [(np.array([7, 7]), np.array([[0, 0, 10, 10], [20, 20, 30, 30]])), (np.array([7]), np.array([[5, 5, 9, 9]]))]
right, twice = Found(0, 7, 0.9, np.array([0, 0, 10, 9])), Found(0, 7, 0.8, np.array([0, 0, 10, 10]))
other, shifted = Found(1, 3, 0.95, np.array([5, 5, 9, 9])), Found(1, 7, 0.7, np.array([5, 5, 9, 8]))
found = [shifted, twice, right, other]
print([round(precision_of_class(found, truth, 7, hit), 4) for hit in (0.5, 0.85)])
"""


@pytest.fixture
def databases(application: Any) -> Any:
    """The application, whose data seem to exist."""
    application.pretend_data("digits_train_lmdb", "digits_test_lmdb")
    for phase in ("train", "test"):
        (application.folder / "pictures" / phase).mkdir(parents=True)
    return application


@pytest.mark.parametrize(
    ("program", "net", "solver"),
    [
        ("net.py", "train_test.prototxt", "solver.prototxt"),
        ("pretrain.py", "pretrain_train_test.prototxt", "pretrain_solver.prototxt"),
    ],
)
def test_the_program_emits_the_prototxt(program: str, net: str, solver: str, databases: Any) -> None:
    databases.emits(program, net, solver)


@pytest.mark.slow
def test_a_digit_counts_once_and_only_for_its_class(databases: Any) -> None:
    # ranked: right, twice (wrong), shifted (right at 0.5): precisions 1 and 2/3 at two of three digits
    assert json.loads(databases.python("-c", BLANK + EXAMPLE)) == [round((1 + 2 / 3) / 3, 4), round(1 / 3, 4)]


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_finds_digits(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["recall of selective search"] >= 0.85
    assert figures["mAP, machines and boxes"] >= 0.3
    assert figures["mAP of cafx detect"] == pytest.approx(figures["mAP, machines and boxes"], abs=0.02)
    application.has_picture("rcnn_digits.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["mAP, machines and boxes"] >= 0.85
    assert figures["mAP of cafx detect"] >= 0.85
    assert figures["mAP at 0.75, machines and boxes"] > figures["mAP at 0.75, machines"]
    application.has_picture("rcnn_digits.png")
    ways = application.python("modes.py").splitlines()[1:]
    scores = {line.split("  score")[0].strip(): float(line.split("score")[1].split(",")[0]) for line in ways}
    listed = "Detector.detect_windows, context_pad=4"
    assert scores[listed] == pytest.approx(scores["cafx detect --crop-mode warp --pad 4"], abs=1.0)
    assert len(set(scores.values())) >= 5
