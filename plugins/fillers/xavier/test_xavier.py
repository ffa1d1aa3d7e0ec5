"""xavier: bounds and variance."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_xavier import Xavier


def test_values_have_the_bounds_and_variance_of_the_formula() -> None:
    values = Xavier(FillerParameter(type="xavier")).fill((300, 75), np.random.default_rng(1))
    bound = np.sqrt(3 / 75)
    assert -bound <= values.min() < -0.999 * bound
    assert 0.999 * bound < values.max() <= bound
    assert np.isclose(values.var(), 1 / 75, rtol=0.03)


def test_a_scalar_is_refused() -> None:
    with pytest.raises(CafxError, match="scalar"):
        Xavier(FillerParameter(type="xavier")).fill((), np.random.default_rng(1))
