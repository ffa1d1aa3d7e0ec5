"""ArgMax beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestArgMax = layer_suite("ArgMax")


@pytest.mark.parametrize(("count", "expected"), [(1, [4]), (3, [4, 1, 3])])
def test_of_equal_values_the_larger_index_comes_first(count: int, expected: list[int]) -> None:
    run = run_layer("ArgMax", [np.array([[1.0, 7, 0, 2, 7]])], options={"top_k": count})
    assert run.tops[0].reshape(-1).tolist() == expected


def test_more_than_there_are_values_is_refused() -> None:
    with pytest.raises(CafxError, match=r"top_k .*got 4, expected at most 3"):
        run_layer("ArgMax", [np.ones((2, 3))], options={"top_k": 4})
