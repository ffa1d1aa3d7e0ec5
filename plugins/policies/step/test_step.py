"""step: the rate, against the formula."""

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_step import Step


def policy(**options: object) -> Step:
    return Step(schema()["SolverParameter"](lr_policy="step", **options))


def test_the_rate_decays_every_stepsize_iterations() -> None:
    falling = policy(base_lr=1.0, gamma=0.5, stepsize=3)
    assert [falling.rate(i) for i in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert [falling.step(i) for i in range(8)] == [0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "wrong", [{"gamma": 0.5}, {"stepsize": 3}, {"gamma": 0.5, "stepsize": 0}, {"gamma": -1.0, "stepsize": 3}]
)
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=r"gamma|stepsize"):
        policy(base_lr=1.0, **wrong)
