"""multistep: the rate, against the formula."""

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_multistep import MultiStep


def policy(**options: object) -> MultiStep:
    return MultiStep(schema()["SolverParameter"](lr_policy="multistep", **options))


def rates(*stepvalue: int) -> list[float]:
    falling = policy(base_lr=1.0, gamma=0.5, stepvalue=stepvalue)
    return [falling.rate(i) for i in range(6)]


def test_the_rate_decays_at_the_given_iterations() -> None:
    assert rates(2, 5) == [1, 1, 0.5, 0.5, 0.5, 0.25]


def test_at_most_one_step_is_taken_per_iteration() -> None:
    assert rates(2, 2, 1) == [1, 1, 0.5, 0.25, 0.125, 0.125]
    assert rates(0, 0) == [0.5, 0.25, 0.25, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("wrong", [{"gamma": 0.1}, {"stepvalue": [2]}, {"gamma": -0.1, "stepvalue": [2]}])
def test_invalid_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CafxError, match=r"gamma|stepvalue"):
        policy(base_lr=1.0, **wrong)
