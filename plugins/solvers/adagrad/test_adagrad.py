"""AdaGrad: the update, against the formula written out value by value."""

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.kernel import CafxError

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_rates_fall_with_the_summed_squares() -> None:
    squares = np.zeros(7)
    for found, gradient in zip(run_rule("AdaGrad", GRADIENTS, delta=0.1), GRADIENTS, strict=True):
        squares += gradient.astype(float) ** 2
        np.testing.assert_allclose(found, 0.1 * gradient / (np.sqrt(squares) + 0.1), rtol=1e-5)


def test_momentum_is_refused() -> None:
    with pytest.raises(CafxError, match="momentum"):
        run_rule("AdaGrad", GRADIENTS, momentum=0.9)
