"""Fans, and drawing in chunks."""

import numpy as np
import pytest

from cafx.kernel import FillerParameter
from cafx_lib_filler import CHUNK_VALUES, draw_in_chunks, fan


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
def test_fans_count_inputs_and_outputs(shape: tuple[int, ...], norm: str, expected: float) -> None:
    assert fan(FillerParameter(type="xavier", variance_norm=norm), shape) == expected


@pytest.mark.slow
def test_chunks_hold_the_values_of_a_single_draw() -> None:
    shape, rngs = (3, CHUNK_VALUES), [np.random.default_rng(1) for _ in range(2)]
    values = draw_in_chunks(lambda count: rngs[0].normal(0, 2, count), shape)
    np.testing.assert_array_equal(values, rngs[1].normal(0, 2, shape).astype(np.float32))
