"""Adam: its updates compared with the formula."""

import math

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.kernel import CafxError

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.0, 0.9)])
def test_updates_match_the_formula(beta1: float, beta2: float) -> None:
    mean, squares = np.zeros(7), np.zeros(7)
    updates = run_rule("Adam", GRADIENTS, momentum=beta1, momentum2=beta2, delta=0.01)
    for t, gradient in enumerate(GRADIENTS, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        squares = beta2 * squares + (1 - beta2) * gradient.astype(float) ** 2
        correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
        np.testing.assert_allclose(updates[t - 1], 0.1 * correction * mean / (np.sqrt(squares) + 0.01), rtol=1e-4)


@pytest.mark.parametrize("invalid", [{"momentum": 1.0}, {"momentum2": 1.0}, {"momentum": -0.1}])
def test_invalid_options_are_refused(invalid: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=next(iter(invalid))):
        run_rule("Adam", GRADIENTS, **invalid)


def test_updates_on_a_device_match_numpy() -> None:
    on_device = run_rule("Adam", GRADIENTS, momentum=0.9, delta=0.01, device=True)
    np.testing.assert_array_equal(on_device, run_rule("Adam", GRADIENTS, momentum=0.9, delta=0.01))
