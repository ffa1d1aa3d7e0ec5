"""SGD: the update, against the formula."""

import numpy as np

from cafx.conformance import run_rule
from cafx.conformance.device import DeviceArray, unwrap
from cafx.kernel import schema
from cafx_solver_sgd import SGD

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_the_update_matches_the_formula() -> None:
    velocity = np.zeros(7)
    for update, gradient in zip(run_rule("SGD", GRADIENTS, momentum=0.5), GRADIENTS, strict=True):
        velocity = 0.5 * velocity + 0.1 * gradient
        np.testing.assert_allclose(update, velocity, rtol=1e-5, atol=1e-7)


def test_without_momentum_it_is_gradient_descent() -> None:
    np.testing.assert_array_equal(run_rule("SGD", GRADIENTS), GRADIENTS * np.float32(0.1))


def test_device_arrays_get_the_same_update() -> None:
    rule = SGD(schema()["SolverParameter"](type="SGD", momentum=0.9))
    history = [DeviceArray(np.zeros(7, np.float32)) for _ in range(rule.slots)]
    for iteration, expected in enumerate(run_rule("SGD", GRADIENTS, momentum=0.9)):
        diff = DeviceArray(GRADIENTS[iteration].copy())
        rule.update(diff, history, 0.1, iteration)
        np.testing.assert_array_equal(unwrap(diff), expected)
