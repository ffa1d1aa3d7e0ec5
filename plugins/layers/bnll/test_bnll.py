"""BNLL beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestBNLL = layer_suite("BNLL")


def test_large_values_do_not_overflow() -> None:
    run = run_layer("BNLL", [np.array([-1000, 0, 1000])], top_diffs=[np.ones(3)])
    np.testing.assert_allclose(run.tops[0], [0, np.log(2), 1000], rtol=1e-6)
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 0.5, 1])
