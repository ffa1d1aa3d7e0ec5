"""LRN beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestLRN = layer_suite("LRN")

X = np.random.default_rng(7).standard_normal((2, 5, 3, 4))


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_across_channels_it_matches_the_formula(beta: float) -> None:
    options = {"local_size": 3, "alpha": 0.7, "beta": beta, "k": 1.5}
    padded = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    expected = X / (1.5 + 0.7 / 3 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])) ** beta
    run = run_layer("LRN", [X], options=options, dtype=np.float64)
    np.testing.assert_allclose(run.tops[0], expected, rtol=1e-6)


def test_within_a_channel_k_is_one() -> None:
    within = {"norm_region": "WITHIN_CHANNEL", "local_size": 3}
    one, two = (run_layer("LRN", [X], options={**within, "k": k}).tops[0] for k in (1.0, 9.0))
    np.testing.assert_array_equal(one, two)


def test_an_even_size_is_refused() -> None:
    with pytest.raises(CafxError, match="local_size"):
        run_layer("LRN", [X], options={"local_size": 4})
