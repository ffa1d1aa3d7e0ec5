"""RMSProp: the update, against the formula written out value by value."""

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.kernel import CafxError

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_rates_fall_with_the_recent_squares() -> None:
    squares = np.zeros(7)
    for found, gradient in zip(run_rule("RMSProp", GRADIENTS, rms_decay=0.75, delta=0.01), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        np.testing.assert_allclose(found, 0.1 * gradient / (np.sqrt(squares) + 0.01), rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"momentum": 0.9}, {"rms_decay": 1.0}, {"rms_decay": -0.1}])
def test_senseless_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=next(iter(wrong))):
        run_rule("RMSProp", GRADIENTS, **wrong)
