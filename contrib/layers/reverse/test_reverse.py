"""Reverse beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestReverse = layer_suite("Reverse")

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_last_comes_first(axis: int) -> None:
    y = run_layer("Reverse", [VALUES], options={"axis": axis}).tops[0]
    length = VALUES.shape[axis]
    for i in range(length):
        np.testing.assert_array_equal(y.take(i, axis), VALUES.take(length - 1 - i, axis))


def test_an_axis_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CafxError, match="axis"):
        run_layer("Reverse", [VALUES], options={"axis": 3})
