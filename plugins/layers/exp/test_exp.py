"""Exp beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestExp = layer_suite("Exp")


def test_base_ten_gives_powers_of_ten() -> None:
    run = run_layer("Exp", [np.arange(4)], options={"base": 10.0, "shift": 1.0})
    np.testing.assert_allclose(run.tops[0], [10, 100, 1000, 10000], rtol=1e-5)


@pytest.mark.parametrize("base", [0.0, -2.0])
def test_an_invalid_base_is_refused(base: float) -> None:
    with pytest.raises(CafxError, match="base"):
        run_layer("Exp", [np.ones(3)], options={"base": base})
