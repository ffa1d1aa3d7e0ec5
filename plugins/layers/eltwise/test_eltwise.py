"""Eltwise beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestEltwise = layer_suite("Eltwise")


@pytest.mark.parametrize(("count", "winner"), [(2, 1), (3, 1)])
def test_of_equal_values_the_second_bottom_gets_the_gradient(count: int, winner: int) -> None:
    run = run_layer("Eltwise", [np.ones(4)] * count, options={"operation": "MAX"}, top_diffs=[np.full(4, 3.0)])
    assert [diff.tolist() for diff in run.bottom_diffs] == [[3.0 * (i == winner)] * 4 for i in range(count)]


def test_the_stable_gradient_of_a_product_is_correct_at_zero() -> None:
    run = run_layer("Eltwise", [np.zeros(2), np.full(2, 5.0)], options={"operation": "PROD"}, top_diffs=[np.ones(2)])
    assert run.bottom_diffs[0].tolist() == [5, 5]


@pytest.mark.parametrize("options", [{"coeff": [1, 2, 3]}, {"operation": "PROD", "coeff": [1, 2]}])
def test_invalid_factors_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(CafxError, match="coeff"):
        run_layer("Eltwise", [np.ones(2)] * 2, options=options)
