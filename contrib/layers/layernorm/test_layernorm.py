"""LayerNorm beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestLayerNorm = layer_suite("LayerNorm")


def test_each_vector_has_mean_0_and_variance_1() -> None:
    x = 5 + 3 * np.random.default_rng(1).standard_normal((2, 3, 50))
    y = run_layer("LayerNorm", [x], dtype=np.float64).tops[0]
    np.testing.assert_allclose(y.mean(axis=2), 0, atol=1e-12)
    np.testing.assert_allclose((y * y).mean(axis=2), 1, rtol=1e-9)


def test_a_bottom_of_one_axis_is_refused() -> None:
    with pytest.raises(CafxError, match="two axes"):
        run_layer("LayerNorm", [np.zeros(4)])
