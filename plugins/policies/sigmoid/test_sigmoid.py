"""sigmoid: the rate, against the formula."""

import math

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_sigmoid import Sigmoid


def policy(**options: object) -> Sigmoid:
    return Sigmoid(schema()["SolverParameter"](lr_policy="sigmoid", **options))


def test_the_rate_is_half_at_stepsize_and_follows_the_sigmoid() -> None:
    rising = policy(base_lr=2.0, gamma=0.5, stepsize=10)
    assert rising.rate(10) == 1
    assert math.isclose(rising.rate(0), 2 / (1 + math.exp(5)))
    assert math.isclose(rising.rate(14), 2 / (1 + math.exp(-2)))


def test_iterations_far_from_stepsize_do_not_overflow() -> None:
    rising = policy(base_lr=2.0, gamma=1.0, stepsize=100_000)
    assert rising.rate(0) == 0
    assert rising.rate(10_000_000) == 2


@pytest.mark.parametrize(
    "wrong", [{"gamma": 0.5}, {"stepsize": 3}, {"gamma": 0.5, "stepsize": 0}, {"gamma": -1.0, "stepsize": 3}]
)
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=r"gamma|stepsize"):
        policy(base_lr=1.0, **wrong)
