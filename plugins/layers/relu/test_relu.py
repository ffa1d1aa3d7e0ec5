"""ReLU beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestReLU = layer_suite("ReLU")


def test_the_gradient_at_zero_is_the_slope() -> None:
    run = run_layer("ReLU", [np.zeros(3)], options={"negative_slope": 0.25}, top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.bottom_diffs[0], np.full(3, 0.25, np.float32))


def test_nan_stays_nan_and_an_infinite_gradient_infinite() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 2.0])
    with np.errstate(invalid="ignore"):
        run = run_layer("ReLU", [x], options={"negative_slope": 0.5}, top_diffs=[np.full(4, np.inf)])
    np.testing.assert_array_equal(run.tops[0], [np.nan, np.inf, -np.inf, 2])
    np.testing.assert_array_equal(run.bottom_diffs[0], [np.nan, np.inf, np.inf, np.inf])
