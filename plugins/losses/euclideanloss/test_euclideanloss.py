"""EuclideanLoss beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer

TestEuclideanLoss = layer_suite("EuclideanLoss")


def test_it_is_half_the_squared_distance_per_item() -> None:
    run = run_layer("EuclideanLoss", [[[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]]])
    assert run.tops[0] == pytest.approx((1 + 4 + 9) / 4)


def test_the_gradients_are_opposite() -> None:
    draw = np.random.default_rng(3).standard_normal
    run = run_layer("EuclideanLoss", [draw((3, 4)), draw((3, 4))], top_diffs=[np.ones(())])
    np.testing.assert_array_equal(run.bottom_diffs[0], -run.bottom_diffs[1])
