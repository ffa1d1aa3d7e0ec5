"""multifixed: the rate of each stage."""

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_multifixed import MultiFixed


def policy(rates: list[float], ends: list[int]) -> MultiFixed:
    return MultiFixed(schema()["SolverParameter"](lr_policy="multifixed", stagelr=rates, stageiter=ends))


def test_each_stage_has_its_rate_and_the_last_one_goes_on() -> None:
    rates = policy([1.0, 0.5, 0.25], [2, 3, 5])
    assert [rates.rate(i) for i in range(8)] == [1, 1, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25]
    assert [rates.step(i) for i in range(4)] == [0, 0, 1, 2]


@pytest.mark.parametrize(("rates", "ends"), [([], []), ([1.0], []), ([1.0, 2.0], [3, 3]), ([1.0, 2.0], [3, 2])])
def test_stages_that_do_not_fit_are_refused(rates: list[float], ends: list[int]) -> None:
    with pytest.raises(CafxError, match="stage"):
        policy(rates, ends)
