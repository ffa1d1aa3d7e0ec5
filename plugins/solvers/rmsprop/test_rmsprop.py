"""RMSProp: its updates compared with the formula."""

import numpy as np
import pytest

from cafx.conformance import run_rule
from cafx.kernel import CafxError

GRADIENTS = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)


def test_updates_match_the_formula() -> None:
    squares = np.zeros(7)
    for update, gradient in zip(run_rule("RMSProp", GRADIENTS, rms_decay=0.75, delta=0.01), GRADIENTS, strict=True):
        squares = 0.75 * squares + 0.25 * gradient.astype(float) ** 2
        np.testing.assert_allclose(update, 0.1 * gradient / (np.sqrt(squares) + 0.01), rtol=1e-5)


@pytest.mark.parametrize("invalid", [{"momentum": 0.9}, {"rms_decay": 1.0}, {"rms_decay": -0.1}])
def test_invalid_options_are_refused(invalid: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=next(iter(invalid))):
        run_rule("RMSProp", GRADIENTS, **invalid)


def test_updates_on_a_device_match_numpy() -> None:
    on_device = run_rule("RMSProp", GRADIENTS, rms_decay=0.75, delta=0.01, device=True)
    np.testing.assert_array_equal(on_device, run_rule("RMSProp", GRADIENTS, rms_decay=0.75, delta=0.01))
