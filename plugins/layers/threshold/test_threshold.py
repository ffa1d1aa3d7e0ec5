"""Threshold beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestThreshold = layer_suite("Threshold")


def test_the_threshold_does_not_exceed_itself() -> None:
    run = run_layer("Threshold", [np.array([0.25, 0.5, 0.75])], options={"threshold": 0.5})
    np.testing.assert_array_equal(run.tops[0], [0, 0, 1])
