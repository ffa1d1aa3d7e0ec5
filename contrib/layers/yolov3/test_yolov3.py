"""Yolov3 passes the conformance suite and equals a transcription of its rule in loops; δ is checked numerically."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestYolov3 = layer_suite("Yolov3")

CLASSES, BOXES = 3, 2
SCALE = {"num_class": CLASSES, "num": BOXES, "biases": [10, 14, 30, 20, 60, 50, 28, 22], "mask": [2, 1]}
SCALE |= {"anchors_scale": 16, "thresh": 0.3}
LOSSES = {
    "mse": {"iou_loss": "MSE", "coord_scale": 1.5, "class_scale": 0.7},
    "squares": {"iou_loss": "MSE", "use_logic_gradient": True, "object_scale": 5.0},
    "focal": {"iou_loss": "MSE", "use_focal_loss": True, "coord_scale": 1.0},
    "giou": {},
    "iou": {"iou_loss": "IOU", "iou_normalizer": 0.5},
}
STEP, TOLERANCE = 1e-5, 1e-5


def sigma(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def corners(box: Any) -> tuple[float, float, float, float]:
    return box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2


def iou(one: Any, two: Any, generalised: bool = False) -> float:
    left, top, right, bottom = corners(one)
    other_left, other_top, other_right, other_bottom = corners(two)
    width = max(0.0, min(right, other_right) - max(left, other_left))
    height = max(0.0, min(bottom, other_bottom) - max(top, other_top))
    union = one[2] * one[3] + two[2] * two[3] - width * height
    hull = (max(right, other_right) - min(left, other_left)) * (max(bottom, other_bottom) - min(top, other_top))
    return width * height / union - ((hull - union) / hull if generalised else 0)


def slope(function: Callable[[Any], float], at: Any) -> list[float]:
    found = []
    for index in range(len(at)):
        above, below = list(at), list(at)
        above[index] += STEP
        below[index] -= STEP
        found.append((function(above) - function(below)) / (2 * STEP))
    return found


def transcribed(x: Any, labels: Any, given: dict[str, Any]) -> tuple[float, Any]:
    """The loss and δ of every prediction, cell by cell and object by object."""
    options = {"coord_scale": 5.0, "class_scale": 1.0, "object_scale": 1.0, "iou_loss": "GIOU", "iou_normalizer": 0.25}
    options |= {"use_focal_loss": False, "use_logic_gradient": False, **given}
    images, _, height, width = x.shape
    x = x.reshape(images, BOXES, 5 + CLASSES, height, width)
    anchors = np.array(options["biases"], float).reshape(-1, 2) / (16 * width, 16 * height)
    delta, extra = np.zeros_like(x), 0.0

    def box_of(b: int, n: int, j: int, i: int) -> list[float]:
        v = x[b, n, :, j, i]
        size = anchors[options["mask"][n]]
        return [
            (i + sigma(v[0])) / width,
            (j + sigma(v[1])) / height,
            math.exp(v[2]) * size[0],
            math.exp(v[3]) * size[1],
        ]

    for b in range(images):
        rows = list(labels[b].reshape(-1, 5))
        truths = rows[: next((t for t, row in enumerate(rows) if row[1] == 0), len(rows))]
        for j in range(height):
            for i in range(width):
                for n in range(BOXES):
                    best = max([iou(box_of(b, n, j, i), truth[1:]) for truth in truths], default=0)
                    delta[b, n, 4, j, i] = 0 if best > options["thresh"] else sigma(x[b, n, 4, j, i])
        for row in rows:
            if row[3] == 0:
                break
            label, truth = int(row[0]), row[1:]
            overlaps = [iou([0, 0, *anchor], [0, 0, *truth[2:]]) for anchor in anchors]
            best_anchor = overlaps.index(max(overlaps))
            if best_anchor not in options["mask"]:
                continue
            n = options["mask"].index(best_anchor)
            i, j = min(int(truth[0] * width), width - 1), min(int(truth[1] * height), height - 1)
            v, d = x[b, n, :, j, i], delta[b, n, :, j, i]
            if options["iou_loss"] == "MSE":
                scale = options["coord_scale"] * (2 - truth[2] * truth[3])
                d[0] = scale * (sigma(v[0]) - (truth[0] * width - i))
                d[1] = scale * (sigma(v[1]) - (truth[1] * height - j))
                d[2] = scale * (v[2] - math.log(truth[2] / anchors[best_anchor][0]))
                d[3] = scale * (v[3] - math.log(truth[3] / anchors[best_anchor][1]))
            else:
                generalised = options["iou_loss"] == "GIOU"
                predicted = box_of(b, n, j, i)
                down = slope(lambda box: iou(box, truth, generalised), predicted)  # noqa: B023
                for k in range(4):
                    d[k] = -options["iou_normalizer"] * down[k] * (math.exp(v[k]) if k > 1 else 1)
                extra += options["iou_normalizer"] * (1 - iou(predicted, truth, generalised))
            d[4] = (sigma(v[4]) - 1) * (options["object_scale"] if options["use_logic_gradient"] else 1)
            if d[5] != 0:
                d[5 + label] = sigma(v[5 + label]) - 1
                continue
            q = sigma(v[5 + label])
            weight = 0.5 * (1 - q) * (1 - q - 2 * q * math.log(q)) if options["use_focal_loss"] else 1
            for c in range(CLASSES):
                d[5 + c] = options["class_scale"] * (sigma(v[5 + c]) - (c == label)) * weight
    counted = delta if options["iou_loss"] == "MSE" else delta[:, :, 4:]
    if options["use_logic_gradient"]:
        p = 1 / (1 + np.exp(-x))
        gradient = delta * p * (1 - p)
        gradient[:, :, 2:4] = delta[:, :, 2:4]
    else:
        gradient = delta
    return ((counted**2).sum() + extra) / images, gradient.reshape(images, -1, height, width) / images


def batch(seed: int = 0) -> tuple[Any, Any]:
    """Predictions and labels: several objects in a cell, one at the border, one without an anchor, one cut off."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((3, 1, 7, 5))
    labels[0, 0, :5] = [
        [2, 0.3, 0.6, 0.42, 0.3],
        [1, 0.32, 0.58, 0.5, 0.3],
        [0, 1.0, 1.0, 0.9, 0.8],
        [1, 0.6, 0.2, 0.15, 0.25],
        [0, 0.31, 0.59, 0.4, 0.31],
    ]
    for row in labels[1, 0, :6]:
        row[:] = [rng.integers(CLASSES), *rng.uniform(0.1, 0.9, 2), *rng.uniform(0.2, 0.9, 2)]
    labels[1, 0, 4, 1] = 0
    return rng.standard_normal((3, BOXES * (5 + CLASSES), 3, 4)), labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradient_equal_the_rule_in_loops(loss: str, seed: int) -> None:
    x, labels = batch(seed)
    options = {**SCALE, **LOSSES[loss]}
    run = run_layer("Yolov3", [x, labels], options=options, top_diffs=[np.array(0.5)])
    expected, gradient = transcribed(x, labels, options)
    np.testing.assert_allclose(run.tops[0], expected, rtol=TOLERANCE)
    np.testing.assert_allclose(run.bottom_diffs[0], 0.5 * gradient, rtol=TOLERANCE, atol=TOLERANCE)


def lone(loss: str, **options: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Predictions of one image with one object, and a function that runs the layer on them."""
    x = np.random.default_rng(4).standard_normal((1, BOXES * (5 + CLASSES), 3, 4))
    labels = np.array([[[[1, 0.35, 0.6, 0.5, 0.4]]]])
    given = {**SCALE, **LOSSES[loss], **options}
    return x, lambda values: run_layer(
        "Yolov3", [values, labels], options=given, top_diffs=[np.array(1.0)], dtype=np.float64
    )


def test_half_the_derivative_of_a_loss_of_squares_is_its_gradient() -> None:
    x, run = lone("squares", object_scale=1.0, class_scale=1.0, coord_scale=1 / (2 - 0.2))
    found = run(x).bottom_diffs[0].reshape(-1)
    expected = slope(lambda values: float(run(np.array(values).reshape(x.shape)).tops[0]) / 2, x.reshape(-1).tolist())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_squares_the_gradient_is_that_of_cross_entropies() -> None:
    x, run = lone("mse", coord_scale=0.0, class_scale=1.0)
    gradient = run(x).bottom_diffs[0].reshape(BOXES, 5 + CLASSES, 3, 4)
    taught = gradient != 0
    p = 1 / (1 + np.exp(-x.reshape(gradient.shape)))
    targets = np.round(p - gradient, 6)
    assert set(np.unique(targets[taught])) == {0.0, 1.0}

    def entropy(values: Any) -> float:
        q = 1 / (1 + np.exp(-np.array(values).reshape(gradient.shape)))
        return float(-(targets * np.log(q) + (1 - targets) * np.log(1 - q))[taught].sum())

    np.testing.assert_allclose(gradient.reshape(-1), slope(entropy, x.reshape(-1).tolist()), atol=1e-6)


def test_an_object_off_the_grid_of_classes_or_of_the_image_is_an_error() -> None:
    x, labels = batch()
    for row, message in (([3, 0.5, 0.5, 0.2, 0.2], "class index"), ([1, 1.5, 0.5, 0.2, 0.2], "in the image")):
        labels[0, 0, 0] = row
        with pytest.raises(CafxError, match=message):
            run_layer("Yolov3", [x, labels], options=SCALE)


@pytest.mark.parametrize("wrong", [{"mask": [0]}, {"mask": [0, 4]}, {"biases": [1, 2, 3]}])
def test_each_box_of_a_cell_needs_its_anchor(wrong: dict[str, Any]) -> None:
    x, labels = batch()
    with pytest.raises(CafxError, match="index of a pair in biases"):
        run_layer("Yolov3", [x, labels], options={**SCALE, **wrong})


def test_cells_without_pixels_are_refused() -> None:
    predictions, labels = np.zeros((1, BOXES * (5 + CLASSES), 2, 2)), np.zeros((1, 1, 1, 5))
    with pytest.raises(CafxError, match="anchors_scale is 0"):
        run_layer("Yolov3", [predictions, labels], options=SCALE | {"anchors_scale": 0})
