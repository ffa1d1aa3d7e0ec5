"""AbsVal beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestAbsVal = layer_suite("AbsVal")


def test_the_gradient_at_zero_is_zero() -> None:
    run = run_layer("AbsVal", [np.array([-2.0, 0.0, 3.0])], top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.bottom_diffs[0], [-1, 0, 1])
