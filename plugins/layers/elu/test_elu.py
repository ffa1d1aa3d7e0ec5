"""ELU beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestELU = layer_suite("ELU")


def test_limits_and_gradient_match_the_formula() -> None:
    x = np.array([-1000.0, 0.0, 1000.0])
    run = run_layer("ELU", [x], options={"alpha": 0.5}, top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.tops[0], [-0.5, 0, 1000])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 0.5, 1])
