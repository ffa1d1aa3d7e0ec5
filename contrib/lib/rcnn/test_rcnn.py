"""The smooth L1 loss, rounding and bins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cafx_lib_rcnn import bins, round_away, smooth_l1, smooth_l1_slope

SLACK = 1e-9
STEP = 1e-6


@given(st.floats(-50, 50), st.floats(0.2, 5))
def test_the_loss_is_quadratic_then_linear(d: float, sigma: float) -> None:
    square = sigma * sigma
    expected = 0.5 * square * d * d if abs(d) < 1 / square else abs(d) - 0.5 / square
    assert smooth_l1(np, np.array([d]), sigma)[0] == pytest.approx(expected, rel=SLACK, abs=SLACK)


@given(st.floats(-50, 50), st.floats(0.2, 5))
def test_the_slope_is_the_derivative(d: float, sigma: float) -> None:
    low, high = smooth_l1(np, np.array([d - STEP, d + STEP]), sigma)
    slope = smooth_l1_slope(np, np.array([d]), sigma)[0]
    assert slope == pytest.approx((high - low) / (2 * STEP), abs=2 * STEP * sigma * sigma + 1e-5)


@given(st.floats(-1e6, 1e6, width=32))
def test_halves_are_rounded_away_from_zero(value: float) -> None:
    assert round_away(np, np.float32([value]))[0] == math.copysign(math.floor(abs(value) + 0.5), value)


COUNTS = st.integers(1, 9)


@given(COUNTS, COUNTS, st.integers(-9, 9), st.floats(0.0625, 9, width=32), st.floats(-5, 5, width=32))
def test_bins_are_rounded_outwards_in_float32(count: int, limit: int, offset: int, size: float, start: float) -> None:
    begin, end = bins(np, np.float32([start]), np.float32([size]), count, limit, np.float32([offset]))
    for index in range(count):
        low, high = (np.float32(each) * np.float32(size) + np.float32(start) for each in (index, index + 1))
        assert begin[0, index] == min(max(math.floor(low) + offset, 0), limit)
        assert end[0, index] == min(max(math.ceil(high) + offset, 0), limit)
