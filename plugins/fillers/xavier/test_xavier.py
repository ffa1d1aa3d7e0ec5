"""xavier: fans, bounds and variance."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_xavier import AT_ONCE, Xavier, drawn, fan


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
    values = Xavier(FillerParameter(type="xavier")).fill((300, 75), np.random.default_rng(1))
    bound = np.sqrt(3 / 75)
    assert -bound <= values.min() < -0.999 * bound
    assert 0.999 * bound < values.max() <= bound
    assert np.isclose(values.var(), 1 / 75, rtol=0.03)


def test_a_scalar_is_refused() -> None:
    with pytest.raises(CafxError, match="scalar"):
        Xavier(FillerParameter(type="xavier")).fill((), np.random.default_rng(1))


def test_values_drawn_some_at_a_time_are_those_drawn_at_once() -> None:
    shape, rngs = (3, AT_ONCE), [np.random.default_rng(1) for _ in range(2)]
    found = drawn(lambda count: rngs[0].normal(0, 2, count), shape)
    np.testing.assert_array_equal(found, rngs[1].normal(0, 2, shape).astype(np.float32))
