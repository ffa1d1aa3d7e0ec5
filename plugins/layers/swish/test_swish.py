"""Swish beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestSwish = layer_suite("Swish")


def test_large_values_do_not_overflow() -> None:
    run = run_layer("Swish", [np.array([-1000, 0, 1000])], top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.tops[0], [0, 0, 1000])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 0.5, 1])
