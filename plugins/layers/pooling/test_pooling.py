"""Pooling beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Phase

TestPooling = layer_suite("Pooling")

PLANE = np.arange(20.0).reshape(1, 1, 4, 5)


def test_the_first_of_equal_values_gets_the_gradient() -> None:
    options = {"kernel_size": 2, "stride": 2}
    run = run_layer("Pooling", [np.ones((1, 1, 2, 2))], options=options, top_diffs=[np.ones((1, 1, 1, 1))])
    np.testing.assert_array_equal(run.bottom_diffs[0][0, 0], [[1, 0], [0, 0]])


@pytest.mark.parametrize("whole", [True, False])
def test_the_mask_holds_row_major_indices(whole: bool) -> None:
    options = {"global_pooling": True} if whole else {"kernel_size": 2, "stride": 2}
    run = run_layer("Pooling", [PLANE], options=options, tops=2)
    np.testing.assert_array_equal(run.tops[1], run.tops[0])


def test_a_large_window_keeps_the_index_of_its_maximum() -> None:
    plane = np.random.default_rng(3).permutation(40.0 * np.arange(1600)).reshape(1, 1, 40, 40)
    run = run_layer("Pooling", [plane], options={"kernel_size": 20, "stride": 20}, tops=2)
    np.testing.assert_array_equal(plane.reshape(-1)[run.tops[1].astype(int)], run.tops[0])


def test_values_are_drawn_in_proportion() -> None:
    window = np.tile(np.array([[0.0, 1.0], [1.0, 2.0]]), (1, 1, 50, 50))
    run = run_layer("Pooling", [window], options={"pool": "STOCHASTIC", "kernel_size": 2, "stride": 2})
    shares = [float((run.tops[0] == value).mean()) for value in (0, 1, 2)]
    np.testing.assert_allclose(shares, [0, 0.5, 0.5], atol=0.05)


def test_in_test_phase_the_expectation_is_taken() -> None:
    options = {"pool": "STOCHASTIC", "kernel_size": 2}
    run = run_layer("Pooling", [np.array([[[[0.0, 1.0], [1.0, 2.0]]]])], options=options, phase=Phase.TEST)
    assert float(run.tops[0].item()) == pytest.approx(6 / 4)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1, "stride": 3},
        {"kernel_size": 6},
        {"kernel_h": 2},
        {"kernel_size": 2, "stride_h": 2},
        {"kernel_size": 2, "pad": 1, "pad_h": 1, "pad_w": 1},
        {"global_pooling": True, "stride": 2},
    ],
)
def test_invalid_windows_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(CafxError, match="subject"):
        run_layer("Pooling", [PLANE], options=options)


def test_a_mask_without_max_is_refused() -> None:
    with pytest.raises(CafxError, match="mask"):
        run_layer("Pooling", [PLANE], options={"pool": "AVE", "kernel_size": 2}, tops=2)


@pytest.mark.parametrize("options", [{"kernel_size": 2, "stride": 2}, {"global_pooling": True}])
def test_a_maximum_is_never_nan_as_in_caffe(options: dict[str, Any]) -> None:
    x = np.array([[[[np.nan, 2], [np.inf, np.nan]], [[np.nan, -np.inf], [np.nan, np.nan]]]], np.float32)
    run = run_layer("Pooling", [x], options=options, tops=2, top_diffs=[np.ones((1, 2, 1, 1)), np.zeros((1, 2, 1, 1))])
    np.testing.assert_array_equal(run.tops[0].ravel(), [np.inf, np.finfo(np.float32).min])
    np.testing.assert_array_equal(run.tops[1].ravel(), [2, -1])
    np.testing.assert_array_equal(run.bottom_diffs[0].ravel(), [0, 0, 1, 0, 0, 0, 0, 0])
