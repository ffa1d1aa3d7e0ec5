"""SGD's formula, over two iterations."""

import numpy as np

from cafx.kernel import registry, schema


def test_the_velocity_is_carried_on() -> None:
    rule = registry().load("solver", "SGD")(schema()["SolverParameter"](momentum=0.5))
    history, gradient = [np.zeros(2)], np.array([1.0, -2.0])
    first, second = gradient.copy(), gradient.copy()
    rule.update(first, history, 0.1, 0)
    rule.update(second, history, 0.1, 1)
    np.testing.assert_allclose(first, [0.1, -0.2])
    np.testing.assert_allclose(second, [0.5 * 0.1 + 0.1, -0.5 * 0.2 - 0.2])
    np.testing.assert_array_equal(history[0], second)
