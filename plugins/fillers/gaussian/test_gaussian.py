"""gaussian: moments and sparsity."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_gaussian import Gaussian

ERRORS = 5  # standard errors a moment may be off


def test_mean_and_deviation() -> None:
    options = FillerParameter(type="gaussian", mean=0.5, std=0.1)
    drawn = Gaussian(options).fill((100, 20, 5, 5), np.random.default_rng(1))
    error = 0.1 / np.sqrt(drawn.size)
    assert abs(drawn.mean() - 0.5) < ERRORS * error
    assert abs(drawn.std() - 0.1) < ERRORS * error


def test_sparse_keeps_that_many_weights_an_input() -> None:
    drawn = Gaussian(FillerParameter(type="gaussian", sparse=5)).fill((50, 4000), np.random.default_rng(1))
    kept = np.count_nonzero(drawn) / drawn.size
    assert abs(kept - 0.1) < ERRORS * np.sqrt(0.1 * 0.9 / drawn.size)
    assert abs(drawn[drawn != 0].std() - 1) < 0.05


@pytest.mark.parametrize(("sparse", "kept"), [(0, 0), (3, 12)])
def test_sparse_none_and_all(sparse: int, kept: int) -> None:
    drawn = Gaussian(FillerParameter(type="gaussian", sparse=sparse)).fill((3, 4), np.random.default_rng(1))
    assert np.count_nonzero(drawn) == kept


@pytest.mark.parametrize("wrong", [{"std": 0.0}, {"std": -1.0}, {"sparse": 4}, {"sparse": -2}])
def test_senseless_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match="gaussian"):
        Gaussian(FillerParameter(type="gaussian", **wrong)).fill((3, 4), np.random.default_rng(1))
