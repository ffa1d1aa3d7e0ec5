"""DetectionEvaluate passes the conformance suite; its scores equal a table computed by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import TEST, CafxError, Net, schema
from cafx_layer_detectionevaluate import DetectionEvaluate

TestDetectionEvaluate = layer_suite("DetectionEvaluate")

LEFT, RIGHT, AWAY = [0, 0, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.6, 0, 0.8, 0.1]
BATCHES = [
    # image, class, score, box | image, class, instance, box, difficult
    (
        [[0, 1, 0.9, *LEFT], [0, 1, 0.6, *AWAY], [0, 2, 0.8, *RIGHT], [1, 1, 0.8, *AWAY]],
        [[0, 1, 0, *LEFT, 0], [0, 2, 0, *RIGHT, 0], [1, 1, 0, *RIGHT, 0]],
    ),
    (
        [[0, 1, 0.7, *RIGHT], [0, 1, 0.5, *RIGHT], [0, 2, 0.7, *LEFT], [1, 1, 0.4, *LEFT]],
        [[0, 1, 0, *RIGHT, 0], [1, 1, 0, *LEFT, 0], [1, 2, 0, *LEFT, 0]],
    ),
]
# Class 1 has 4 objects. By score: 0.9 hit, 0.8 miss, 0.7 hit, 0.6 miss, 0.5 miss (hit before), 0.4 hit:
# recall 1/4 1/4 2/4 2/4 2/4 3/4, precision 1 1/2 2/3 2/4 2/5 3/6. Class 2 has 2 objects: 0.8 hit, 0.7 miss:
# recall 1/2 1/2, precision 1 1/2. Class 3 has an object in no image.
TABLE = {
    "11point": [(3 * 1 + 3 * 2 / 3 + 2 * 1 / 2) / 11, 6 / 11, 0],
    "MaxIntegral": [(1 + 2 / 3 + 1 / 2) / 4, 1 / 2, 0],
    "Integral": [(1 + 2 / 3 + 1 / 2) / 4, 1 / 2, 0],
}


def build(found: Any, truth: Any, options: str = "num_classes: 4") -> Net:
    text = f"""
        layer {{ name: "i" type: "Input" top: "found" top: "truth" input_param {{
          shape {{ dim: 1 dim: 1 dim: {len(found)} dim: 7 }} shape {{ dim: 1 dim: 1 dim: {len(truth)} dim: 8 }} }} }}
        layer {{ name: "e" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "y"
          detection_evaluate_param {{ {options} }} }}"""
    return Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy")


def evaluate(found: Any, truth: Any, options: str = "num_classes: 4") -> Any:
    return build(found, truth, options).forward(found=[[found]], truth=[[truth]])["y"][0, 0]


@pytest.mark.parametrize("version", TABLE)
def test_scores_equal_the_table(version: str) -> None:
    net = build(*BATCHES[0])
    tops = [net.forward(found=[[found]], truth=[[truth]])["y"].copy() for found, truth in BATCHES]
    layer = net.layers[-1]
    assert isinstance(layer, DetectionEvaluate)
    expected = dict(zip(("class1", "class2", "class3"), TABLE[version], strict=True))
    mean = {"mAP": sum(expected.values()) / 3}
    options = SimpleNamespace(ap_version=version, show_per_class_result=False)
    assert layer.test_scores(tops, options) == pytest.approx(mean)
    options.show_per_class_result = True
    assert layer.test_scores(tops, options) == pytest.approx({**mean, **expected})


def test_an_unknown_version_is_an_error() -> None:
    found, truth = BATCHES[0]
    layer = build(found, truth).layers[-1]
    assert isinstance(layer, DetectionEvaluate)
    with pytest.raises(CafxError, match="unknown version"):
        layer.test_scores([evaluate(found, truth)], SimpleNamespace(ap_version="average"))


def test_integral_is_the_default() -> None:
    found, truth = [[0, 1, 0.9, *AWAY], [0, 1, 0.8, *LEFT]], [[0, 1, 0, *LEFT, 0]]
    layer = build(found, truth, "num_classes: 2").layers[-1]
    assert isinstance(layer, DetectionEvaluate)
    assert layer.test_scores([evaluate(found, truth, "num_classes: 2")], SimpleNamespace()) == {"mAP": 0.5}


def test_a_hit_of_a_difficult_object_is_neither_hit_nor_miss() -> None:
    found, truth = [[0, 1, 0.9, *LEFT], [0, 1, 0.8, *LEFT]], [[0, 1, 0, *LEFT, 1]]
    assert evaluate(found, truth)[-2:, 3:].tolist() == [[1, 0], [0, 1]]
    easy = evaluate(found, truth, "num_classes: 4 evaluate_difficult_gt: false")
    assert easy[-2:, 3:].tolist() == [[0, 0], [0, 0]]
    assert easy[0, 2] == 0


def test_equal_scores_keep_their_order() -> None:
    scores = np.tile([0.5, 0.7, 0.5], 60)
    found = [[0, 1, score, *(AWAY if index < 100 else LEFT)] for index, score in enumerate(scores.tolist())]
    hits = evaluate(found, [[0, 1, 0, *LEFT, 0]])[-180:, 3]
    first = np.argsort(-scores, kind="stable").tolist().index(100)  # the first box that hits has the better score
    assert np.flatnonzero(hits).tolist() == [first]


def test_image_sizes_begin_anew_after_the_last_image(tmp_path: Path) -> None:
    (tmp_path / "sizes.txt").write_text("a 10 10\nb 1000 1000\n")
    found, truth = [[0, 1, 0.9, 0, 0, 0.1, 0.1]], [[0, 1, 0, 0, 0, 0.2, 0.1, 0]]
    # in whole pixels 2·2 of 3·2, above the threshold; in 1000 pixels 101·101 of 201·101, below it
    net = build(found, truth, f'num_classes: 2 overlap_threshold: 0.6 name_size_file: "{tmp_path}/sizes.txt"')
    hits = [float(net.forward(found=[[found]], truth=[[truth]])["y"][0, 0, 1, 3]) for _ in range(3)]
    assert hits == [1, 0, 1]
    assert net.layers[-1].state() == {"images": 3}


def test_an_image_without_detections_has_a_size_too(tmp_path: Path) -> None:
    (tmp_path / "sizes.txt").write_text("a 1000 1000\nb 10 10\n")
    found, truth = [[1, 1, 0.9, 0, 0, 0.1, 0.1]], [[1, 1, 0, 0, 0, 0.2, 0.1, 0]]
    options = f'num_classes: 2 overlap_threshold: 0.6 name_size_file: "{tmp_path}/sizes.txt"'
    assert evaluate(found, truth, options)[1, 3] == 1


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ([[0, 0, 0.9, *LEFT]], [[0, 1, 0, *LEFT, 0]], "not a class of objects, found 0"),
        ([[0, 1, 0.9, *LEFT]], [[0, 4, 0, *LEFT, 0]], "not a class of objects, found 4"),
    ],
)
def test_the_background_and_unknown_classes_are_errors(found: Any, truth: Any, message: str) -> None:
    net = build(found, truth)
    with pytest.raises(CafxError) as error:
        net.forward(found=[[found]], truth=[[truth]])
    assert message.split(", ")[0] in str(error.value)
    assert message.split()[-1] in str(error.value)


def test_num_classes_must_be_given() -> None:
    with pytest.raises(CafxError, match="num_classes must be given"):
        build(*BATCHES[0], options="")


def test_an_absurd_number_of_classes_is_refused_before_memory_is_taken() -> None:
    bottoms = [np.zeros((1, 1, 1, 7)), np.zeros((1, 1, 1, 8))]
    with pytest.raises(CafxError, match="num_classes"):
        run_layer("DetectionEvaluate", bottoms, options={"num_classes": 2**32 - 1})
