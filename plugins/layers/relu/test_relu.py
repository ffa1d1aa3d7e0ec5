"""ReLU beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestReLU = layer_suite("ReLU")


def test_the_gradient_at_zero_is_the_slope() -> None:
    run = run_layer("ReLU", [np.zeros(3)], options={"negative_slope": 0.25}, top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.bottom_diffs[0], np.full(3, 0.25, np.float32))
