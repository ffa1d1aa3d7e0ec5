"""RegionLoss passes the conformance suite and equals a transcription of its rule in loops; δ is checked numerically."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Net, Phase, schema

TestRegionLoss = layer_suite("RegionLoss")

CLASSES, BOXES, HEIGHT, WIDTH = 3, 2, 3, 4
REGION = {"num_class": CLASSES, "num": BOXES, "biases": [0.7, 0.9, 2.4, 1.6], "thresh": 0.3}
SCALES = {"object_scale": 2.0, "class_scale": 0.7, "noobject_scale": 1.5, "coord_scale": 1.2}
STEP, TOLERANCE = 1e-5, 1e-5


def sigma(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def iou(one: Any, two: Any) -> float:
    sides = []
    for axis in (0, 1):
        low = max(one[axis] - one[axis + 2] / 2, two[axis] - two[axis + 2] / 2)
        high = min(one[axis] + one[axis + 2] / 2, two[axis] + two[axis + 2] / 2)
        sides.append(max(0.0, high - low))
    common = sides[0] * sides[1]
    return common / (one[2] * one[3] + two[2] * two[3] - common)


def transcribed(x: Any, labels: Any, options: dict[str, Any], warm: bool) -> tuple[float, Any]:
    """The loss and δ of every prediction, cell by cell and object by object."""
    options = {"rescore": 1, "bias_match": 1, **options}
    x = x.reshape(-1, BOXES, 5 + CLASSES, HEIGHT, WIDTH)
    delta, anchors = np.zeros_like(x), np.array(options["biases"]).reshape(-1, 2)

    def box_of(b: int, n: int, j: int, i: int) -> list[float]:
        v = x[b, n, :, j, i]
        centre = [(i + sigma(v[0])) / WIDTH, (j + sigma(v[1])) / HEIGHT]
        return [*centre, math.exp(v[2]) * anchors[n][0] / WIDTH, math.exp(v[3]) * anchors[n][1] / HEIGHT]

    def teach(v: Any, d: Any, target: list[float], scale: float) -> None:
        for k in (0, 1):
            p = sigma(v[k])
            d[k] = scale * (p - target[k]) * p * (1 - p)
            d[k + 2] = scale * (v[k + 2] - target[k + 2])

    for b in range(len(x)):
        truths = []
        for row in labels[b].reshape(-1, 5):
            if row[3] == 0:
                break
            truths.append(row)
        for n, j, i in np.ndindex(BOXES, HEIGHT, WIDTH):
            v, d = x[b, n, :, j, i], delta[b, n, :, j, i]
            p = sigma(v[4])
            near = max([iou(box_of(b, n, j, i), truth[1:]) for truth in truths], default=0) > options["thresh"]
            d[4] = 0 if near else options["noobject_scale"] * p * p * (1 - p)
            if warm:
                teach(v, d, [0.5, 0.5, 0, 0], 0.01)
        for row in truths:
            label, truth = int(row[0]), row[1:]
            i, j = min(int(truth[0] * WIDTH), WIDTH - 1), min(int(truth[1] * HEIGHT), HEIGHT - 1)
            overlaps = []
            for n in range(BOXES):
                size = box_of(b, n, j, i)[2:]
                if options["bias_match"]:
                    size = [anchors[n][0] / WIDTH, anchors[n][1] / HEIGHT]
                overlaps.append(iou([0, 0, *size], [0, 0, *truth[2:]]))
            n = overlaps.index(max(overlaps))
            v, d = x[b, n, :, j, i], delta[b, n, :, j, i]
            sizes = [math.log(truth[2] * WIDTH / anchors[n][0]), math.log(truth[3] * HEIGHT / anchors[n][1])]
            scale = options["coord_scale"] * (1 if options["rescore"] else 2 - truth[2] * truth[3])
            teach(v, d, [truth[0] * WIDTH - i, truth[1] * HEIGHT - j, *sizes], scale)
            p = sigma(v[4])
            d[4] = options["object_scale"] * (p - (iou(box_of(b, n, j, i), truth) if options["rescore"] else 1))
            d[4] *= p * (1 - p)
            powers = [math.exp(value) for value in v[5:]]
            for c in range(CLASSES):
                d[5 + c] = options["class_scale"] * (powers[c] / sum(powers) - (c == label))
    return (delta**2).sum() / len(x), delta.reshape(len(x), -1, HEIGHT, WIDTH) / len(x)


def batch(seed: int) -> tuple[Any, Any]:
    """Predictions and labels: several objects in a cell, one at the border, an image without."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((3, 1, 5, 5))
    labels[0, 0, :3] = [[2, 0.3, 0.6, 0.6, 0.4], [1, 0.32, 0.58, 0.5, 0.5], [0, 1.0, 1.0, 0.2, 0.3]]
    for row in labels[1, 0, :4]:
        row[:] = [rng.integers(CLASSES), *rng.uniform(0.1, 0.9, 2), *rng.uniform(0.1, 0.9, 2)]
    return rng.standard_normal((3, BOXES * (5 + CLASSES), HEIGHT, WIDTH)), labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bias_match", [0, 1])
@pytest.mark.parametrize("rescore", [0, 1])
@pytest.mark.parametrize("phase", list(Phase))
def test_loss_and_gradient_equal_the_rule_in_loops(seed: int, bias_match: int, rescore: int, phase: Phase) -> None:
    x, labels = batch(seed)
    options = {**REGION, **SCALES, "bias_match": bias_match, "rescore": rescore}
    run = run_layer("RegionLoss", [x, labels], options=options, phase=phase, top_diffs=[np.array(0.5)])
    expected, gradient = transcribed(x, labels, options, phase == Phase.TRAIN)
    np.testing.assert_allclose(run.tops[0], expected, rtol=TOLERANCE)
    np.testing.assert_allclose(run.bottom_diffs[0], 0.5 * gradient, rtol=TOLERANCE, atol=TOLERANCE)


def test_half_the_derivative_of_the_sum_of_squares_is_the_gradient_of_objectness() -> None:
    x, labels = batch(1)
    labels[...] = 0
    options = {**REGION, "noobject_scale": 1.0}

    def run(values: Any) -> Any:
        diffs = [np.array(1.0)]
        given = [values, labels]
        return run_layer(
            "RegionLoss", given, options=options, phase=Phase.TEST, top_diffs=diffs, dtype=np.float64
        ).bottom_diffs[0]

    found = run(x).reshape(-1)
    for at in np.flatnonzero(found)[:10]:
        energy = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved.reshape(-1)[at] += step
            p = 1 / (1 + np.exp(-moved.reshape(-1)[at]))
            energy.append(p * p / 2 / len(x))
        assert found[at] == pytest.approx((energy[0] - energy[1]) / (2 * STEP), abs=1e-8)


def test_boxes_are_drawn_to_their_anchors_only_for_the_first_images() -> None:
    text = f"""
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 6400 dim: 8 dim: 1 dim: 1 }} }} }}
    layer {{ name: "y" type: "Input" top: "y" input_param {{ shape {{ dim: 6400 dim: 1 dim: 1 dim: 5 }} }} }}
    layer {{ name: "l" type: "RegionLoss" bottom: "x" bottom: "y" top: "l"
      region_loss_param {{ num: 1 num_class: {CLASSES} biases: 1 biases: 1 noobject_scale: 0 }} }}"""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="numpy")
    losses = [float(net.forward(x=np.ones((6400, 8, 1, 1)))["l"]) for _ in range(3)]
    assert losses[0] == losses[1] > 0 == losses[2]


@pytest.mark.parametrize("wrong", [{"coords": 5}, {"biases": [1.0, 2.0]}])
def test_anchors_and_coordinates_are_checked(wrong: dict[str, Any]) -> None:
    x, labels = batch(0)
    with pytest.raises(CafxError, match=r"width and height of each|four coordinates"):
        run_layer("RegionLoss", [x, labels], options={**REGION, **wrong})
