"""Adam: the update, against the formula."""

import math

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.conformance.device import DeviceArray, unwrap
from cafx.kernel import CafxError, schema
from cafx_solver_adam import Adam

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.0, 0.9)])
def test_the_update_matches_the_formula(beta1: float, beta2: float) -> None:
    mean, squares = np.zeros(7), np.zeros(7)
    updates = run_rule("Adam", GRADIENTS, momentum=beta1, momentum2=beta2, delta=0.01)
    for t, gradient in enumerate(GRADIENTS, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        squares = beta2 * squares + (1 - beta2) * gradient.astype(float) ** 2
        correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
        np.testing.assert_allclose(updates[t - 1], 0.1 * correction * mean / (np.sqrt(squares) + 0.01), rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"momentum": 1.0}, {"momentum2": 1.0}, {"momentum": -0.1}])
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=next(iter(wrong))):
        run_rule("Adam", GRADIENTS, **wrong)


def test_device_arrays_get_the_same_update() -> None:
    rule = Adam(schema()["SolverParameter"](type="Adam", momentum=0.9, delta=0.01))
    history = [DeviceArray(np.zeros(7, np.float32)) for _ in range(rule.slots)]
    for iteration, expected in enumerate(run_rule("Adam", GRADIENTS, momentum=0.9, delta=0.01)):
        diff = DeviceArray(GRADIENTS[iteration].copy())
        rule.update(diff, history, 0.1, iteration)
        np.testing.assert_array_equal(unwrap(diff), expected)
