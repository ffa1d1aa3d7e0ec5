"""Proposal beyond the conformance suite."""

import math

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Phase

TestProposal = layer_suite("Proposal")
TOLERANCE = 1e-3


def anchors_by_loops(base: float, ratios: list[float], scales: list[float]) -> list[list[float]]:
    """py-faster-rcnn's anchors."""
    centre, found = (base - 1) / 2, []
    for ratio in ratios:
        width = round(math.sqrt(base * base / ratio))
        height = round(width * ratio)
        for scale in scales:
            half = (width * scale - 1) / 2, (height * scale - 1) / 2
            found.append([centre - half[0], centre - half[1], centre + half[0], centre + half[1]])
    return found


def overlap(one: list[float], two: list[float]) -> float:
    """Intersection over union of whole pixels."""
    width = min(one[2], two[2]) - max(one[0], two[0]) + 1
    height = min(one[3], two[3]) - max(one[1], two[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, two))
    return width * height / (area - width * height)


def by_loops(scores: np.ndarray, offsets: np.ndarray, info: np.ndarray, options: dict) -> list[list[float]]:
    """The regions of one image, box by box: rows (x1, y1, x2, y2, score)."""
    anchors = anchors_by_loops(options["base_size"], options["ratio"], options["scale"])
    boxes = []
    for h in range(scores.shape[1]):
        for w in range(scores.shape[2]):
            for a, anchor in enumerate(anchors):
                x1, y1, x2, y2 = (each + (w, h)[k % 2] * options["feat_stride"] for k, each in enumerate(anchor))
                dx, dy, dw, dh = offsets[4 * a : 4 * a + 4, h, w]
                wide, high = x2 - x1 + 1, y2 - y1 + 1
                cx, cy = x1 + wide / 2 + dx * wide, y1 + high / 2 + dy * high
                wide, high = wide * math.exp(dw), high * math.exp(dh)
                box = [cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2]
                box = [min(max(each, 0), info[1 - k % 2] - 1) for k, each in enumerate(box)]
                least = options["min_size"] * info[2]
                if box[2] - box[0] + 1 >= least and box[3] - box[1] + 1 >= least:
                    boxes.append([*box, scores[len(anchors) + a, h, w]])
    boxes.sort(key=lambda each: -each[4])
    kept: list[list[float]] = []
    for box in boxes[: options["pre_nms_topn"]]:
        if all(overlap(box, each) <= options["nms_thresh"] for each in kept):
            kept.append(box)
    return kept[: options["post_nms_topn"]]


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_a_loop_over_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = {
        "base_size": 16,
        "ratio": [0.5, 1.0, 2.0],
        "scale": [1.0, 2.0],
        "feat_stride": 8,
        "pre_nms_topn": 60,
        "post_nms_topn": 20,
        "nms_thresh": 0.6,
        "min_size": 6,
    }
    scores = rng.permutation(2 * 12 * 4 * 5).reshape(2, 12, 4, 5) / 480
    offsets = rng.standard_normal((2, 24, 4, 5)) * 0.3
    infos = np.array([[32.0, 40.0, 1.0], [28.0, 37.0, 1.5]])
    run = run_layer("Proposal", [scores, offsets, infos], options=options, tops=2)
    expected = [
        [index, *row] for index in range(2) for row in by_loops(scores[index], offsets[index], infos[index], options)
    ]
    np.testing.assert_allclose(np.hstack(run.tops), expected, atol=TOLERANCE)


def test_the_phase_decides_how_many_regions_there_are() -> None:
    bottoms = [np.random.default_rng(1).uniform(size=(1, 18, 6, 6)), np.zeros((1, 36, 6, 6)), [[96, 96, 1]]]
    options = {"train_post_nms_topn": 5, "post_nms_topn": 3, "min_size": 1}
    counts = {phase: len(run_layer("Proposal", bottoms, options=options, phase=phase).tops[0]) for phase in Phase}
    assert counts == {Phase.TRAIN: 5, Phase.TEST: 3}


def test_the_second_form_keeps_scores_of_at_least_0_3() -> None:
    scores = np.array([0.0, 0.0, 0.29, 0.31]).reshape(1, 2, 1, 2)
    bottoms = [scores, np.zeros((1, 4, 1, 2)), [[2000, 2000, 1]]]
    options = {"anchor_scale": 1, "anchor_ratio": 1, "feat_stride": 1000}
    assert len(run_layer("Proposal", bottoms, options=options).tops[0]) == 1


def test_a_wrong_number_of_anchors_is_refused() -> None:
    bottoms = [np.ones((1, 24, 2, 2)), np.ones((1, 48, 2, 2)), [[32, 32, 1]]]
    with pytest.raises(CafxError, match=r"scores of 9 anchors: got 1×24×2×2, expected N×18×H×W"):
        run_layer("Proposal", bottoms)
