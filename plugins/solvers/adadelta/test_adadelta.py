"""AdaDelta: the update, against the formula."""

import numpy as np

from cafx.conformance import run_rule
from cafx.conformance.device import DeviceArray, unwrap
from cafx.kernel import schema
from cafx_solver_adadelta import AdaDelta

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)
OPTIONS = {"momentum": 0.75, "delta": 0.01}


def test_the_update_matches_the_formula() -> None:
    squares, moved = np.zeros(7), np.zeros(7)
    for update, gradient in zip(run_rule("AdaDelta", GRADIENTS, **OPTIONS), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        step = np.sqrt((moved + 0.01) / (squares + 0.01)) * gradient
        moved = 0.75 * moved + 0.25 * step**2
        np.testing.assert_allclose(update, 0.1 * step, rtol=1e-5)


def test_device_arrays_get_the_same_update() -> None:
    rule = AdaDelta(schema()["SolverParameter"](type="AdaDelta", **OPTIONS))
    history = [DeviceArray(np.zeros(7, np.float32)) for _ in range(rule.slots)]
    for iteration, expected in enumerate(run_rule("AdaDelta", GRADIENTS, **OPTIONS)):
        diff = DeviceArray(GRADIENTS[iteration].copy())
        rule.update(diff, history, 0.1, iteration)
        np.testing.assert_array_equal(unwrap(diff), expected)
