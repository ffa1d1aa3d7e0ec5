"""AdaGrad: the update, against the formula."""

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.conformance.device import DeviceArray, unwrap
from cafx.kernel import CafxError, schema
from cafx_solver_adagrad import AdaGrad

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_the_update_matches_the_formula() -> None:
    squares = np.zeros(7)
    for update, gradient in zip(run_rule("AdaGrad", GRADIENTS, delta=0.1), GRADIENTS, strict=True):
        squares += gradient.astype(float) ** 2
        np.testing.assert_allclose(update, 0.1 * gradient / (np.sqrt(squares) + 0.1), rtol=1e-5)


def test_momentum_is_refused() -> None:
    with pytest.raises(CafxError, match="momentum"):
        run_rule("AdaGrad", GRADIENTS, momentum=0.9)


def test_device_arrays_get_the_same_update() -> None:
    rule = AdaGrad(schema()["SolverParameter"](type="AdaGrad", delta=0.1))
    history = [DeviceArray(np.zeros(7, np.float32)) for _ in range(rule.slots)]
    for iteration, expected in enumerate(run_rule("AdaGrad", GRADIENTS, delta=0.1)):
        diff = DeviceArray(GRADIENTS[iteration].copy())
        rule.update(diff, history, 0.1, iteration)
        np.testing.assert_array_equal(unwrap(diff), expected)
