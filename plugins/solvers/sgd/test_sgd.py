"""SGD: its updates compared with the formula."""

import numpy as np

from cafx.conformance import run_rule

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_updates_match_the_formula() -> None:
    velocity = np.zeros(7)
    for update, gradient in zip(run_rule("SGD", GRADIENTS, momentum=0.5), GRADIENTS, strict=True):
        velocity = 0.5 * velocity + 0.1 * gradient
        np.testing.assert_allclose(update, velocity, rtol=1e-5, atol=1e-7)


def test_without_momentum_updates_are_plain_gradient_descent() -> None:
    np.testing.assert_array_equal(run_rule("SGD", GRADIENTS), GRADIENTS * np.float32(0.1))


def test_updates_on_a_device_match_numpy() -> None:
    on_device = run_rule("SGD", GRADIENTS, momentum=0.9, device=True)
    np.testing.assert_array_equal(on_device, run_rule("SGD", GRADIENTS, momentum=0.9))
