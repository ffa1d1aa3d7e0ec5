"""Sigmoid beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestSigmoid = layer_suite("Sigmoid")


def test_large_values_saturate_without_overflow() -> None:
    run = run_layer("Sigmoid", [np.array([-1000, 0, 1000])], top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.tops[0], [0, 0.5, 1])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 0.25, 0])
