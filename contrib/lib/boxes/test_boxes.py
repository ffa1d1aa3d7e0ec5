"""Boxes equal transcriptions of their definitions, box by box."""

from __future__ import annotations

import doctest
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cafx_lib_boxes
import cafx_lib_boxes.suppression as suppression
from cafx.kernel import CafxError
from cafx_lib_boxes import (
    CODES,
    IGNORED,
    UNMATCHED,
    VERSIONS,
    areas,
    average_precision,
    clip,
    decode,
    decode_pixels,
    encode,
    encode_pixels,
    match,
    overlaps,
    ranked,
    suppress,
    suppress_classes,
)

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
EXAMPLES = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def random_boxes(rng: np.random.Generator, count: int, *, grid: int = 8, dtype: Any = np.float32) -> Any:
    """Boxes on a coarse grid, so that ties, touching boxes and boxes without area occur; some are degenerate."""
    corners = rng.integers(0, grid, (count, 4)) / 4
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    boxes = np.concatenate([low, high], axis=1)
    degenerate = rng.random(count) < 0.05
    boxes[degenerate] = boxes[degenerate][:, [2, 1, 0, 3]]
    return boxes.astype(dtype)


def overlap(one: Any, two: Any, pixels: bool) -> float:
    extra = 1 if pixels else 0
    width = min(one[2], two[2]) - max(one[0], two[0]) + extra
    height = min(one[3], two[3]) - max(one[1], two[1]) + extra
    inverted = any(box[2] < box[0] or box[3] < box[1] for box in (one, two))
    if width <= 0 or height <= 0 or inverted:
        return 0.0
    sizes = [(box[2] - box[0] + extra) * (box[3] - box[1] + extra) for box in (one, two)]
    return width * height / (sizes[0] + sizes[1] - width * height)


def test_examples_run() -> None:
    for module in (cafx_lib_boxes, *(vars(cafx_lib_boxes)[name] for name in ("matching", "overlap", "precision"))):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


@EXAMPLES
@given(SEEDS, st.booleans())
def test_overlaps_equal_a_loop_over_pairs(seed: int, pixels: bool) -> None:
    rng = np.random.default_rng(seed)
    one, two = random_boxes(rng, 5), random_boxes(rng, 7)
    expected = [[overlap(a, b, pixels) for b in two.tolist()] for a in one.tolist()]
    found = overlaps(one, two, pixels=pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_areas_and_intersections_may_use_different_conventions() -> None:
    one, two = np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 4]])
    assert areas(one, pixels=True).item() == 100
    assert overlaps(one, two, pixels=True).item() == 50 / 100
    assert overlaps(one, two, pixels=True, pixel_areas=False).item() == 50 / (81 + 36 - 50)


def test_a_box_with_nan_overlaps_nothing() -> None:
    boxes = np.array([[0, 0, 1, 1], [np.nan, 0, 1, 1]], np.float32)
    assert overlaps(boxes, boxes).tolist() == [[1, 0], [0, 0]]
    assert suppress(boxes, np.array([1, 2], np.float32), 0.1).tolist() == [1, 0]


def test_clip_cuts_x_to_the_width_and_y_to_the_height() -> None:
    assert clip(np.array([-1.0, -2, 9, 9]), width=5, height=3).tolist() == [0, 0, 5, 3]
    assert clip(np.array([-1.0, 0.5, 2, 0.7])).tolist() == [0, 0.5, 1, 0.7]


def coded(box: Any, prior: Any, variance: Any, code: str) -> list[float]:
    """The offsets of one box, written out for each coordinate."""
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return [(box[k] - prior[k]) / variance[k] for k in range(4)]
    if code == "CORNER_SIZE":
        return [(box[k] - prior[k]) / (width, height)[k % 2] / variance[k] for k in range(4)]
    x, y = (box[0] + box[2] - prior[0] - prior[2]) / 2, (box[1] + box[3] - prior[1] - prior[3]) / 2
    sizes = math.log((box[2] - box[0]) / width), math.log((box[3] - box[1]) / height)
    return [x / width / variance[0], y / height / variance[1], sizes[0] / variance[2], sizes[1] / variance[3]]


def proper_boxes(rng: np.random.Generator, count: int) -> Any:
    low = rng.uniform(-1, 1, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.1, 2, (count, 2))], axis=1)


@EXAMPLES
@given(SEEDS, st.sampled_from(CODES), st.booleans())
def test_offsets_equal_a_loop_and_decode_to_the_boxes(seed: int, code: str, in_target: bool) -> None:
    rng = np.random.default_rng(seed)
    boxes, priors, variances = proper_boxes(rng, 6), proper_boxes(rng, 6), rng.uniform(0.05, 0.5, (6, 4))
    factors = np.ones_like(variances) if in_target else variances
    offsets = encode(boxes, priors, variances, code, variance_in_target=in_target)
    expected = [coded(*each, code) for each in zip(boxes, priors, factors, strict=True)]
    np.testing.assert_allclose(offsets, expected, **CLOSE)
    np.testing.assert_allclose(decode(offsets, priors, variances, code, variance_in_target=in_target), boxes, **CLOSE)


def test_faster_rcnn_s_offsets_count_whole_pixels() -> None:
    anchor, box = np.array([[0.0, 0, 15, 15]]), np.array([[4.0, 2, 35, 17]])
    offsets = encode_pixels(box, anchor)
    np.testing.assert_allclose(offsets, [[(20 - 8) / 16, (10 - 8) / 16, math.log(2), 0]], atol=1e-12)
    np.testing.assert_allclose(decode_pixels(offsets, anchor), box + np.array([0, 0, 1, 1]))


def matched(table: Any, threshold: float | None, ignored: Any) -> list[int]:
    """Pair after pair, the largest overlap first; then each prediction by itself."""
    count, truths = table.shape
    found = [IGNORED if ignored[i] else UNMATCHED for i in range(count)]
    pool = set(range(truths))
    while pool:
        pairs = [
            (-table[i, j], i, j) for i in range(count) for j in pool if found[i] == UNMATCHED and table[i, j] > 1e-6
        ]
        if not pairs:
            break
        _, i, j = min(pairs)
        found[i] = j
        pool.remove(j)
    for i in range(count):
        if threshold is not None and found[i] == UNMATCHED and truths:
            j = int(table[i].argmax())
            if table[i, j] >= threshold and table[i, j] > 1e-6:
                found[i] = j
    return found


@EXAMPLES
@given(SEEDS, st.integers(0, 6), st.sampled_from([None, 0.25, 0.5, 0.0]))
def test_matches_equal_a_loop_over_pairs(seed: int, truths: int, threshold: float | None) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 9, (9, truths)).astype(np.float32) / 8
    ignored = rng.random(9) < 0.2
    assert match(table, threshold, ignored).tolist() == matched(table, threshold, ignored)


def survivors(boxes: Any, scores: Any, threshold: float, **options: Any) -> list[int]:
    """Candidates one by one, each against all boxes kept so far."""
    above, eta = options.get("above"), options.get("eta", 1.0)
    order = [i for i in sorted(range(len(scores)), key=lambda i: -scores[i]) if above is None or scores[i] > above]
    if options.get("top_k", -1) >= 0:
        order = order[: options["top_k"]]
    kept: list[int] = []
    for i in order:
        if len(kept) == options.get("limit", -1):
            break
        shared = overlaps(boxes[[i]], boxes[kept], pixels=options.get("pixels", False))[0]
        limit = np.float32(threshold)
        if (shared < limit if options.get("inclusive") else shared <= limit).all():
            kept.append(i)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept


@EXAMPLES
@given(
    SEEDS,
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    st.fixed_dictionaries(
        {},
        optional={
            "above": st.sampled_from([0.2, 0.5]),
            "top_k": st.sampled_from([-1, 0, 3, 10]),
            "limit": st.sampled_from([-1, 0, 1, 4]),
            "eta": st.sampled_from([1.0, 0.9, 0.5]),
            "inclusive": st.booleans(),
            "pixels": st.booleans(),
        },
    ),
)
def test_suppression_equals_a_loop_over_candidates(seed: int, threshold: float, options: Any) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 30), (rng.integers(0, 20, 30) / 20).astype(np.float32)
    assert suppress(boxes, scores, threshold, **options).tolist() == survivors(boxes, scores, threshold, **options)


@pytest.mark.parametrize("options", [{}, {"eta": 0.99}, {"limit": 300}, {"inclusive": True}])
def test_suppression_of_many_boxes_equals_the_loop(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    centres, sizes = rng.random((2500, 2)), rng.uniform(0.02, 0.2, (2500, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).astype(np.float32)
    scores = rng.random(2500).astype(np.float32)
    found = suppress(boxes, scores, 0.6, **options).tolist()
    assert found == survivors(boxes, scores, 0.6, **options)
    assert len(found) >= 300


@EXAMPLES
@given(SEEDS, st.sampled_from([0.1, 0.3, 0.5, 0.7]), st.booleans(), st.booleans())
def test_comparing_only_near_boxes_changes_nothing(seed: int, threshold: float, pixels: bool, inclusive: bool) -> None:
    rng = np.random.default_rng(seed)
    left, width = rng.integers(0, 60, 400), rng.integers(1, 30, 400)
    boxes = np.stack([left, 0 * left, left + width, 0 * left + 1], axis=1).astype(np.float32)
    scores = rng.random(400).astype(np.float32)
    options = {"pixels": pixels, "inclusive": inclusive}
    expected = suppress(boxes, scores, threshold, **options).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "SWEPT", 1)
        assert suppress(boxes, scores, threshold, **options).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranked_scores_are_stable_and_leave_out_nan(dtype: Any) -> None:
    scores = np.array([0.5, np.nan, 0.7, -0.0, 0.5, 0.7, np.inf, -2, 0.0, -1, -np.inf], dtype)
    assert ranked(scores).tolist() == [6, 2, 5, 0, 4, 3, 8, 9, 7, 10]
    assert ranked(scores, top_k=4).tolist() == [6, 2, 5, 0]
    assert ranked(scores, above=0.5).tolist() == [6, 2, 5]


@EXAMPLES
@given(SEEDS, st.sampled_from([-1, 0, 2, 5, 100]))
def test_the_best_of_all_classes_are_kept(seed: int, keep: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = {label: random_boxes(rng, 8) for label in range(4)}
    scores = rng.permutation(32).reshape(4, 8).astype(np.float32)
    every = [
        (scores[label, i], label, int(i)) for label in (0, 1, 3) for i in suppress(boxes[label], scores[label], 0.3)
    ]
    best = sorted(every, reverse=True)[: keep if keep >= 0 else None]
    expected = [(label, [i for _, own, i in best if own == label]) for label in (0, 1, 3)]
    found = suppress_classes(boxes, scores, (0, 1, 3), 0.3, keep_top_k=keep)
    assert [(label, kept.tolist()) for label, kept in found] == [each for each in expected if each[1]]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("count", [1, 20, 400])
def test_classes_that_share_boxes_are_suppressed_each_by_itself(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, count), rng.random((5, count), dtype=np.float32)
    scores[2] = 0
    options = {
        "above": (None, 0.3, 0.97)[seed % 3],
        "top_k": (-1, 7, 0, 2)[seed % 4],
        "eta": (1.0, 1.0, 0.9)[seed // 4],
        "limit": (-1, 3)[seed // 2 % 2],
        "inclusive": seed % 4 == 1,
        "pixels": seed % 5 == 2,
    }
    threshold = (0.2, 0.7)[seed % 2]
    expected = [(each, suppress(boxes, scores[each], threshold, **options).tolist()) for each in (4, 2, 1)]
    found = [(each, kept.tolist()) for each, kept in suppress_classes(boxes, scores, (4, 2, 1), threshold, **options)]
    assert found == [each for each in expected if each[1]]


def precision_loop(ranking: list[bool], count: int, version: str) -> Fraction:
    """The definitions, in exact fractions."""
    points, hits = [], 0
    for rank, hit in enumerate(ranking, 1):
        hits += hit
        points.append((Fraction(hits, count), Fraction(hits, rank)))
    if version == "11point":
        levels = [Fraction(k, 10) for k in range(11)]
        return sum((max((p for r, p in points if r >= k), default=Fraction(0)) for k in levels), Fraction(0)) / 11
    area, before = Fraction(0), Fraction(0)
    for recall, precision in points:
        best = max(p for r, p in points if r >= recall) if version == "MaxIntegral" else precision
        area += (recall - before) * best
        before = recall
    return area


@EXAMPLES
@given(st.lists(st.booleans(), max_size=30), st.integers(0, 10), st.sampled_from(VERSIONS), SEEDS)
def test_average_precision_equals_its_definition(ranking: list[bool], missed: int, version: str, seed: int) -> None:
    count = sum(ranking) + missed
    order = np.random.default_rng(seed).permutation(len(ranking))
    scores, hits = -order.astype(np.float64), np.array(ranking, bool)[order]
    expected = precision_loop(ranking, count, version) if count and ranking else 0
    assert average_precision(scores, hits, ~hits, count, version) == pytest.approx(float(expected), abs=1e-12)


def test_a_detection_that_is_neither_hit_nor_miss_does_not_count() -> None:
    assert average_precision([0.9, 0.8], [0, 1], [0, 0], 1) == 1


def test_an_unknown_version_is_an_error() -> None:
    with pytest.raises(CafxError, match="expected one of 11point"):
        average_precision([], [], [], 0, "12point")
