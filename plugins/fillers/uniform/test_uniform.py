"""uniform: bounds and moments."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_uniform import Uniform

ERRORS = 5  # tolerance of a sample moment, in standard errors


def test_values_fill_the_range() -> None:
    options = FillerParameter(type="uniform", min=-2.0, max=0.5)
    values = Uniform(options).fill((200, 300), np.random.default_rng(1))
    assert values.shape == (200, 300)
    assert -2.0 <= values.min() < -1.99
    assert 0.49 < values.max() <= 0.5
    assert abs(values.mean() + 0.75) < ERRORS * 2.5 / np.sqrt(12 * values.size)


def test_the_default_range_is_zero_to_one() -> None:
    values = Uniform(FillerParameter(type="uniform")).fill((10_000,), np.random.default_rng(1))
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() <= 1


def test_equal_seeds_give_equal_values() -> None:
    filler = Uniform(FillerParameter(type="uniform"))
    first, second = (filler.fill((4, 5), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_swapped_bounds_are_refused() -> None:
    with pytest.raises(CafxError, match="min exceeds max"):
        Uniform(FillerParameter(type="uniform", min=1.0, max=0.0)).fill((2,), np.random.default_rng(1))


def test_sparse_is_refused() -> None:
    with pytest.raises(CafxError, match="sparse"):
        Uniform(FillerParameter(type="uniform", sparse=3))


@pytest.mark.parametrize("bound", [-np.inf, np.nan])
def test_a_bound_that_is_not_finite_is_refused(bound: float) -> None:
    with pytest.raises(CafxError, match="not finite"):
        Uniform(FillerParameter(type="uniform", min=bound, max=1.0)).fill((2,), np.random.default_rng(1))
