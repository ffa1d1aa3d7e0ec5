"""Windows that are cropped with context and warped."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cafx_lib_feed.windows
from cafx.kernel import CafxError
from cafx_lib_feed.windows import warp

IMAGE = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)


@st.composite
def corners(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """A window in the image."""
    x, y = draw(st.integers(0, 39)), draw(st.integers(0, 29))
    return x, y, draw(st.integers(x, 39)), draw(st.integers(y, 29))


@settings(deadline=None)
@given(corners(), st.integers(7, 20), st.integers(7, 20), st.integers(0, 3), st.booleans(), st.booleans())
def test_a_warped_window_fits_where_it_is_placed(
    window: tuple[int, int, int, int], height: int, width: int, pad: int, square: bool, flip: bool
) -> None:
    piece, top, left = warp(IMAGE, window, (height, width), pad, square, flip)
    assert piece is not None
    assert top >= 0
    assert left >= 0
    assert 0 < piece.shape[0] <= height - top
    assert 0 < piece.shape[1] <= width - left
    if not pad and not square:
        assert piece.shape[:2] == (height, width)


@settings(deadline=None)
@given(corners(), st.integers(0, 3))
def test_a_flipped_window_is_mirrored(window: tuple[int, int, int, int], pad: int) -> None:
    piece, top, _ = warp(IMAGE, window, (12, 12), pad)
    flipped, flipped_top, _ = warp(IMAGE, window, (12, 12), pad, flip=True)
    assert piece is not None
    assert flipped is not None
    assert top == flipped_top
    if flipped.shape == piece.shape:
        np.testing.assert_array_equal(flipped, piece[:, ::-1])
    else:  # the margins to the left and to the right are rounded apart
        assert abs(flipped.shape[1] - piece.shape[1]) == 1


def test_a_window_outside_of_the_image_is_refused_unless_there_is_context() -> None:
    with pytest.raises(CafxError, match="extends outside its image"):
        warp(IMAGE, (30, 0, 40, 10), (8, 8))
    assert warp(IMAGE, (100, 100, 110, 110), (8, 8), context_pad=1) == (None, 0, 0)


def test_examples_run() -> None:
    assert doctest.testmod(cafx_lib_feed.windows) == (0, 3)
