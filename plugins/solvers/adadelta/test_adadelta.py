"""AdaDelta: its updates compared with the formula."""

import numpy as np

from cafx.conformance import run_rule

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)
OPTIONS = {"momentum": 0.75, "delta": 0.01}


def test_updates_match_the_formula() -> None:
    squares, moved = np.zeros(7), np.zeros(7)
    for update, gradient in zip(run_rule("AdaDelta", GRADIENTS, **OPTIONS), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        step = np.sqrt((moved + 0.01) / (squares + 0.01)) * gradient
        moved = 0.75 * moved + 0.25 * step**2
        np.testing.assert_allclose(update, 0.1 * step, rtol=1e-5)


def test_updates_on_a_device_match_numpy() -> None:
    on_device = run_rule("AdaDelta", GRADIENTS, **OPTIONS, device=True)
    np.testing.assert_array_equal(on_device, run_rule("AdaDelta", GRADIENTS, **OPTIONS))
