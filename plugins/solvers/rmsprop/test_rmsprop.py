"""RMSProp: the update, against the formula."""

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.conformance.device import DeviceArray, unwrap
from cafx.kernel import CafxError, schema
from cafx_solver_rmsprop import RMSProp

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_the_update_matches_the_formula() -> None:
    squares = np.zeros(7)
    for update, gradient in zip(run_rule("RMSProp", GRADIENTS, rms_decay=0.75, delta=0.01), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        np.testing.assert_allclose(update, 0.1 * gradient / (np.sqrt(squares) + 0.01), rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"momentum": 0.9}, {"rms_decay": 1.0}, {"rms_decay": -0.1}])
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=next(iter(wrong))):
        run_rule("RMSProp", GRADIENTS, **wrong)


def test_device_arrays_get_the_same_update() -> None:
    rule = RMSProp(schema()["SolverParameter"](type="RMSProp", rms_decay=0.75, delta=0.01))
    history = [DeviceArray(np.zeros(7, np.float32)) for _ in range(rule.slots)]
    for iteration, expected in enumerate(run_rule("RMSProp", GRADIENTS, rms_decay=0.75, delta=0.01)):
        diff = DeviceArray(GRADIENTS[iteration].copy())
        rule.update(diff, history, 0.1, iteration)
        np.testing.assert_array_equal(unwrap(diff), expected)
