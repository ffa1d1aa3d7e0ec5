"""Nesterov: the update, against the formula written out value by value."""

from typing import Any

import numpy as np

from cafx.kernel import schema
from cafx_solver_nesterov import Nesterov

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def updates(options: Any, rate: float = 0.1) -> list[np.ndarray]:
    rule = Nesterov(options)
    history = [np.zeros(7, np.float32) for _ in range(rule.slots)]
    found = []
    for iteration, gradient in enumerate(GRADIENTS):
        diff = gradient.copy()
        rule.update(diff, history, rate, iteration)
        assert diff.dtype == np.float32
        found.append(diff)
    return found


def options(**stated: float) -> Any:
    return schema()["SolverParameter"](type="Nesterov", base_lr=0.1, lr_policy="fixed", **stated)


def test_the_update_looks_ahead() -> None:
    velocity = np.zeros(7)
    for found, gradient in zip(updates(options(momentum=0.9)), GRADIENTS, strict=True):
        before, velocity = velocity, 0.9 * velocity + 0.1 * gradient
        np.testing.assert_allclose(found, 1.9 * velocity - 0.9 * before, rtol=1e-4, atol=1e-6)


def test_without_momentum_it_is_plain_descent() -> None:
    np.testing.assert_allclose(updates(options()), np.float32(0.1) * GRADIENTS, rtol=1e-6)
