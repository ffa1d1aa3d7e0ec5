"""poly: the rate, against the formula."""

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_poly import Poly


def policy(**options: object) -> Poly:
    return Poly(schema()["SolverParameter"](lr_policy="poly", **options))


def test_the_rate_reaches_zero_at_max_iter() -> None:
    falling = policy(base_lr=4.0, power=2.0, max_iter=4)
    assert [falling.rate(i) for i in range(6)] == [4, 2.25, 1, 0.25, 0, 0]


def test_a_fractional_power_gives_zero_beyond_max_iter() -> None:
    assert policy(base_lr=1.0, power=0.5, max_iter=10).rate(11) == 0


@pytest.mark.parametrize(
    "wrong", [{"power": 0.5}, {"max_iter": 9}, {"max_iter": 0, "power": 1.0}, {"max_iter": 9, "power": -1.0}]
)
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=r"power|max_iter"):
        policy(base_lr=1.0, **wrong)
