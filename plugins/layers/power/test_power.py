"""Power beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestPower = layer_suite("Power")


def test_the_gradient_where_the_linear_function_is_zero() -> None:
    x = np.array([0.0, -2.0])
    run = run_layer("Power", [x], options={"power": 3.0, "scale": 2.0}, top_diffs=[np.ones(2)])
    np.testing.assert_array_equal(run.tops[0], [0, -64])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 96])


def test_a_constant_has_gradient_zero() -> None:
    options = {"power": 0.5, "scale": 0.0, "shift": 4.0}
    run = run_layer("Power", [np.array([-1.0, 0.0, 5.0])], options=options, top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.tops[0], [2, 2, 2])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 0, 0])
