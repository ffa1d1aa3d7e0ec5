"""xavier: fans, bounds and variance."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_xavier import Xavier, fan


@pytest.mark.parametrize(
    ("shape", "norm", "expected"),
    [
        ((50, 20, 5), "FAN_IN", 100),
        ((50, 20, 5), "FAN_OUT", 250),
        ((50, 20, 5), "AVERAGE", 175),
        ((4, 3, 2, 2), "AVERAGE", 14),
        ((30, 70), "FAN_IN", 70),
        ((30, 70), "FAN_OUT", 30),
        ((40,), "FAN_IN", 1),
        ((40,), "FAN_OUT", 40),
        ((0, 3), "FAN_OUT", 1),
    ],
)
def test_fans(shape: tuple[int, ...], norm: str, expected: float) -> None:
    assert fan(FillerParameter(type="xavier", variance_norm=norm), shape) == expected


def test_bounds_and_variance() -> None:
    drawn = Xavier(FillerParameter(type="xavier")).fill((300, 75), np.random.default_rng(1))
    bound = np.sqrt(3 / 75)
    assert -bound <= drawn.min() < -0.999 * bound
    assert 0.999 * bound < drawn.max() <= bound
    assert np.isclose(drawn.var(), 1 / 75, rtol=0.03)


def test_a_scalar_is_refused() -> None:
    with pytest.raises(CafxError, match="scalar"):
        Xavier(FillerParameter(type="xavier")).fill((), np.random.default_rng(1))
