"""AnchorTarget beyond the conformance suite."""

import math

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestAnchorTarget = layer_suite("AnchorTarget")
STRIDE = 8
OPTIONS = {"feat_stride": STRIDE, "base_size": 8, "ratio": [0.5, 1.0, 2.0], "scale": [1.0, 3.0]}
TOLERANCE = 1e-5


def targets(objects: np.ndarray, info: list[float], **options: object) -> list[np.ndarray]:
    """The tops as rows by anchor: labels (N), offsets, inside and outside weights (N×4)."""
    height, width = (int(np.ceil(each / STRIDE)) for each in info[:2])
    bottoms = [np.zeros((1, 12, height, width)), objects, [info]]
    run = run_layer("AnchorTarget", bottoms, options={**OPTIONS, **options}, tops=4)
    labels = run.tops[0].reshape(6, height, width).transpose(1, 2, 0).reshape(-1)
    return [labels, *(top[0].transpose(1, 2, 0).reshape(-1, 4) for top in run.tops[1:])]


def by_loops(objects: np.ndarray, info: list[float], border: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and offsets of all anchors if every example is drawn, anchor by anchor."""
    height, width = (int(np.ceil(each / STRIDE)) for each in info[:2])
    anchors = []
    for h in range(height):
        for w in range(width):
            for ratio in (0.5, 1.0, 2.0):
                wide = round(math.sqrt(64 / ratio))
                for scale in (1, 3):
                    half = (wide * scale - 1) / 2, (round(wide * ratio) * scale - 1) / 2
                    cx, cy = 3.5 + w * STRIDE, 3.5 + h * STRIDE
                    anchors.append((cx - half[0], cy - half[1], cx + half[0], cy + half[1]))
    overlap = np.zeros((len(anchors), len(objects)))
    labels, offsets = np.full(len(anchors), -1), np.zeros((len(anchors), 4))
    for a, (x1, y1, x2, y2) in enumerate(anchors):
        if x1 < -border or y1 < -border or x2 >= info[1] + border or y2 >= info[0] + border:
            continue
        for g, (u1, v1, u2, v2, _) in enumerate(objects):
            common = max(0, min(x2, u2) - max(x1, u1) + 1) * max(0, min(y2, v2) - max(y1, v1) + 1)
            overlap[a, g] = common / ((x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1) - common)
        u1, v1, u2, v2, _ = objects[overlap[a].argmax()]
        wide, high = x2 - x1 + 1, y2 - y1 + 1
        own_wide, own_high = u2 - u1 + 1, v2 - v1 + 1
        offsets[a] = (
            (u1 + own_wide / 2 - x1 - wide / 2) / wide,
            (v1 + own_high / 2 - y1 - high / 2) / high,
            math.log(own_wide / wide),
            math.log(own_high / high),
        )
        labels[a] = 1 if overlap[a].max() >= 0.7 else 0 if overlap[a].max() < 0.3 else -1
    for g in range(len(objects)):
        labels[(overlap[:, g] == overlap[:, g].max()) & (overlap[:, g] > 0)] = 1
    return labels, offsets


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_a_loop_over_anchors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 40, (3, 2))
    objects = np.column_stack([corner, corner + rng.integers(4, 30, (3, 2)), rng.integers(1, 5, 3)]).astype(float)
    info, border = [60.0, 72.0, 1.0], float(rng.choice([0, 5]))
    labels, offsets, inside, outside = targets(objects, info, batch_size=10**6, fg_fraction=1.0, allowed_border=border)
    expected = by_loops(objects, info, border)
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_allclose(offsets, expected[1], atol=TOLERANCE)
    np.testing.assert_array_equal(inside, np.repeat((labels == 1)[:, None], 4, axis=1))
    examples = (labels >= 0).sum()
    np.testing.assert_allclose(outside, np.repeat((labels >= 0)[:, None] / examples, 4, axis=1), rtol=TOLERANCE)


def test_so_many_examples_are_drawn_with_so_many_objects() -> None:
    objects = np.array([[x, y, x + 7.0, y + 7, 1] for x in range(0, 64, 8) for y in range(0, 64, 8)])
    labels, *_ = targets(objects, [64.0, 64.0, 1.0], batch_size=40, fg_fraction=0.25)
    assert ((labels == 1).sum(), (labels == 0).sum()) == (10, 30)


def test_a_share_of_the_weight_goes_to_objects() -> None:
    labels, _, _, outside = targets(np.array([[8.0, 8, 31, 31, 1]]), [64.0, 64.0, 1.0], positive_weight=0.75)
    assert outside[labels == 1].sum() == pytest.approx(4 * 0.75)
    assert outside[labels == 0].sum() == pytest.approx(4 * 0.25)


def test_a_box_that_no_anchor_meets_makes_no_objects() -> None:
    labels, *_ = targets(np.array([[90.0, 90, 99, 99, 1]]), [64.0, 64.0, 1.0])
    assert not (labels == 1).any()


def test_a_second_image_is_refused() -> None:
    with pytest.raises(CafxError, match="one image"):
        run_layer("AnchorTarget", [np.zeros((2, 18, 2, 2)), np.zeros((1, 5)), [[32, 32, 1]]], tops=4)


def test_a_box_without_a_pixel_is_refused() -> None:
    with pytest.raises(CafxError, match="object 1: 9 8 7 12"):
        targets(np.array([[8.0, 8, 31, 31, 1], [9, 8, 7, 12, 1]]), [64.0, 64.0, 1.0])
