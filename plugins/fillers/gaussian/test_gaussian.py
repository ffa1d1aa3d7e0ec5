"""gaussian: moments and sparsity."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_gaussian import Gaussian

ERRORS = 5  # tolerance of a sample moment, in standard errors


def test_values_have_the_given_mean_and_deviation() -> None:
    options = FillerParameter(type="gaussian", mean=0.5, std=0.1)
    values = Gaussian(options).fill((100, 20, 5, 5), np.random.default_rng(1))
    error = 0.1 / np.sqrt(values.size)
    assert abs(values.mean() - 0.5) < ERRORS * error
    assert abs(values.std() - 0.1) < ERRORS * error


def test_sparse_is_the_mean_number_of_weights_per_input() -> None:
    values = Gaussian(FillerParameter(type="gaussian", sparse=5)).fill((50, 4000), np.random.default_rng(1))
    kept = np.count_nonzero(values) / values.size
    assert abs(kept - 0.1) < ERRORS * np.sqrt(0.1 * 0.9 / values.size)
    assert abs(values[values != 0].std() - 1) < 0.05


@pytest.mark.parametrize(("sparse", "kept"), [(0, 0), (3, 12)])
def test_sparse_ranges_from_none_to_all_weights(sparse: int, kept: int) -> None:
    values = Gaussian(FillerParameter(type="gaussian", sparse=sparse)).fill((3, 4), np.random.default_rng(1))
    assert np.count_nonzero(values) == kept


@pytest.mark.parametrize("wrong", [{"std": 0.0}, {"std": -1.0}, {"sparse": 4}, {"sparse": -2}])
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match="gaussian"):
        Gaussian(FillerParameter(type="gaussian", **wrong)).fill((3, 4), np.random.default_rng(1))
