"""Overlaps, their gradients and the order of objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cafx_lib_yolo import Overlap, rounds

STEP = 1e-6
unit = st.floats(0.05, 0.95)
boxes = st.tuples(unit, unit, unit, unit)


@pytest.mark.parametrize("generalised", [False, True])
@given(one=boxes, two=boxes)
def test_the_gradient_of_an_overlap_is_its_derivative(generalised: bool, one: tuple, two: tuple) -> None:
    first, second = np.array(one), np.array(two)

    def value(box: np.ndarray) -> float:
        pair = Overlap(np, box, second)
        return float(pair.giou if generalised else pair.iou)

    edges = [box[:2] + sign * box[2:] / 2 for box in (first, second) for sign in (-1, 1)]
    if min(abs(a - b).min() for a in edges[:2] for b in edges[2:]) < 10 * STEP:
        return  # a kink
    found = Overlap(np, first, second).gradient(generalised)
    for index in range(4):
        step = STEP * np.eye(4)[index]
        assert found[index] == pytest.approx((value(first + step) - value(first - step)) / (2 * STEP), abs=1e-4)


@given(st.lists(st.integers(0, 5)))
def test_rounds_keep_the_order_of_equal_keys(keys: list[int]) -> None:
    found = rounds(np.array(keys, np.int64))
    assert sorted(position for each in found for position in each.tolist()) == list(range(len(keys)))
    for turn, positions in enumerate(found):
        for position in positions:
            assert keys[:position].count(keys[position]) == turn
