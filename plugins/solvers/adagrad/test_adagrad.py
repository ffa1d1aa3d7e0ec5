"""AdaGrad: the update, against the formula written out value by value."""

from typing import Any

import numpy as np
import pytest

from cafx.kernel import CafxError, schema
from cafx_solver_adagrad import AdaGrad

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def updates(options: Any, rate: float = 0.1) -> list[np.ndarray]:
    rule = AdaGrad(options)
    history = [np.zeros(7, np.float32) for _ in range(rule.slots)]
    found = []
    for iteration, gradient in enumerate(GRADIENTS):
        diff = gradient.copy()
        rule.update(diff, history, rate, iteration)
        assert diff.dtype == np.float32
        found.append(diff)
    return found


def options(**stated: float) -> Any:
    return schema()["SolverParameter"](type="AdaGrad", base_lr=0.1, lr_policy="fixed", **stated)


def test_rates_fall_with_the_summed_squares() -> None:
    squares = np.zeros(7)
    for found, gradient in zip(updates(options(delta=0.1)), GRADIENTS, strict=True):
        squares += gradient.astype(float) ** 2
        np.testing.assert_allclose(found, 0.1 * gradient / (np.sqrt(squares) + 0.1), rtol=1e-5)


def test_momentum_is_refused() -> None:
    with pytest.raises(CafxError, match="momentum"):
        AdaGrad(options(momentum=0.9))
