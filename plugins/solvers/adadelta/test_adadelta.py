"""AdaDelta: the update, against the formula written out value by value."""

import numpy as np

from cafx.conformance import run_rule

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_updates_are_scaled_by_their_recent_size() -> None:
    squares, moved = np.zeros(7), np.zeros(7)
    for found, gradient in zip(run_rule("AdaDelta", GRADIENTS, momentum=0.75, delta=0.01), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        step = np.sqrt((moved + 0.01) / (squares + 0.01)) * gradient
        moved = 0.75 * moved + 0.25 * step**2
        np.testing.assert_allclose(found, 0.1 * step, rtol=1e-5)
