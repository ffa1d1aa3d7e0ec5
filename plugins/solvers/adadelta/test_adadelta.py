"""AdaDelta: the update, against the formula written out value by value."""

from typing import Any

import numpy as np

from cafx.kernel import schema
from cafx_solver_adadelta import AdaDelta

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def updates(options: Any, rate: float = 0.1) -> list[np.ndarray]:
    rule = AdaDelta(options)
    history = [np.zeros(7, np.float32) for _ in range(rule.slots)]
    found = []
    for iteration, gradient in enumerate(GRADIENTS):
        diff = gradient.copy()
        rule.update(diff, history, rate, iteration)
        assert diff.dtype == np.float32
        found.append(diff)
    return found


def options(**stated: float) -> Any:
    return schema()["SolverParameter"](type="AdaDelta", base_lr=0.1, lr_policy="fixed", **stated)


def test_updates_are_scaled_by_their_recent_size() -> None:
    squares, moved = np.zeros(7), np.zeros(7)
    for found, gradient in zip(updates(options(momentum=0.75, delta=0.01)), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        step = np.sqrt((moved + 0.01) / (squares + 0.01)) * gradient
        moved = 0.75 * moved + 0.25 * step**2
        np.testing.assert_allclose(found, 0.1 * step, rtol=1e-5)
