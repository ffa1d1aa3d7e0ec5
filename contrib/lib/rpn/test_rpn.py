"""Anchors, their order, and drawing of examples; formulas are tested with the layers."""

import numpy as np
import pytest

from cafx_lib_rpn import ProposalRule, RegionRule, anchors_of, base_anchors, by_anchor, by_channel, sample

PY_FASTER_RCNN = [
    [-84, -40, 99, 55],
    [-176, -88, 191, 103],
    [-360, -184, 375, 199],
    [-56, -56, 71, 71],
    [-120, -120, 135, 135],
    [-248, -248, 263, 263],
    [-36, -80, 51, 95],
    [-80, -168, 95, 183],
    [-168, -344, 183, 359],
]
"""The nine anchors that py-faster-rcnn's generate_anchors documents."""


def test_the_default_anchors_are_those_of_py_faster_rcnn() -> None:
    np.testing.assert_array_equal(base_anchors(), PY_FASTER_RCNN)


def test_anchors_are_ordered_by_row_column_and_base() -> None:
    base = base_anchors(8, [1.0], [1.0, 2.0])
    anchors = anchors_of(base, 10, 2, 3)
    assert anchors.shape == (12, 4)
    for index, (h, w, a) in enumerate(np.ndindex(2, 3, 2)):
        np.testing.assert_array_equal(anchors[index], base[a] + [10 * w, 10 * h, 10 * w, 10 * h])


def test_maps_and_rows_are_inverse() -> None:
    values = np.arange(2 * 4 * 3 * 5).reshape(8, 3, 5)
    rows = by_anchor(values, 4)
    assert rows.shape == (30, 4)
    assert rows[1].tolist() == values[4:, 0, 0].tolist()
    np.testing.assert_array_equal(by_channel(rows, 3, 5), values)


def test_a_sample_has_no_repetitions_and_all_if_there_are_few() -> None:
    rng = np.random.default_rng(1)
    drawn = sample(rng, np.arange(10, 50), 20)
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(range(10, 50))
    assert sample(rng, np.arange(5), 20).tolist() == [0, 1, 2, 3, 4]


def test_the_least_size_grows_with_the_scale_along_each_axis() -> None:
    boxes = np.float32([[0, 0, 15, 15], [20, 20, 51, 35], [60, 0, 91, 31]])
    scores, rule = np.float32([0.5, 0.6, 0.7]), ProposalRule(min_size=16)
    chosen = {
        info: len(rule.choose(boxes, scores, np.float32(info))[0])
        for info in ((100, 100, 1), (100, 100, 2), (100, 100, 1, 2), (100, 100, 2, 3))
    }
    assert chosen == {(100, 100, 1): 3, (100, 100, 2): 1, (100, 100, 1, 2): 2, (100, 100, 2, 3): 0}


@pytest.mark.parametrize(("examples", "objects", "others"), [(8, 2, 6), (-1, 10, 30), (100, 10, 30)])
def test_objects_come_first_and_background_fills_up(examples: int, objects: int, others: int) -> None:
    overlap = np.array([0.9] * 10 + [0.2] * 30 + [0.05] * 5)
    rule = RegionRule(classes=3, examples=examples)
    chosen, count = rule.draw(overlap, np.random.default_rng(1))
    assert (count, len(chosen)) == (objects, objects + others)
    assert (chosen[:count] < 10).all()
    assert ((chosen[count:] >= 10) & (chosen[count:] < 40)).all()
