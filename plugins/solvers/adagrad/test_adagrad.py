"""AdaGrad: its updates compared with the formula."""

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.kernel import CafxError

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_updates_match_the_formula() -> None:
    squares = np.zeros(7)
    for update, gradient in zip(run_rule("AdaGrad", GRADIENTS, delta=0.1), GRADIENTS, strict=True):
        squares += gradient.astype(float) ** 2
        np.testing.assert_allclose(update, 0.1 * gradient / (np.sqrt(squares) + 0.1), rtol=1e-5)


def test_momentum_is_refused() -> None:
    with pytest.raises(CafxError, match="momentum"):
        run_rule("AdaGrad", GRADIENTS, momentum=0.9)


def test_updates_on_a_device_match_numpy() -> None:
    on_device = run_rule("AdaGrad", GRADIENTS, delta=0.1, device=True)
    np.testing.assert_array_equal(on_device, run_rule("AdaGrad", GRADIENTS, delta=0.1))
