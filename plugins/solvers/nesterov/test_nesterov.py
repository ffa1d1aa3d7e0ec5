"""Nesterov: the update, against the formula written out value by value."""

import numpy as np

from cafx.conformance import run_rule

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_the_update_looks_ahead() -> None:
    velocity = np.zeros(7)
    for found, gradient in zip(run_rule("Nesterov", GRADIENTS, momentum=0.9), GRADIENTS, strict=True):
        before, velocity = velocity, 0.9 * velocity + 0.1 * gradient
        np.testing.assert_allclose(found, 1.9 * velocity - 0.9 * before, rtol=1e-4, atol=1e-6)


def test_without_momentum_it_is_plain_descent() -> None:
    np.testing.assert_allclose(run_rule("Nesterov", GRADIENTS), np.float32(0.1) * GRADIENTS, rtol=1e-6)
