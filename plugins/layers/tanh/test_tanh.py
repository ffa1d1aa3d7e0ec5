"""TanH beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestTanH = layer_suite("TanH")


def test_large_values_saturate() -> None:
    run = run_layer("TanH", [np.array([-1000, 0, 1000])], top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.tops[0], [-1, 0, 1])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 1, 0])
