"""inv: the rate, against the formula."""

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_inv import Inv


def policy(**options: object) -> Inv:
    return Inv(schema()["SolverParameter"](lr_policy="inv", **options))


def test_the_rate_matches_the_formula() -> None:
    falling = policy(base_lr=1.0, gamma=0.25, power=2.0)
    assert falling.rate(0) == 1
    assert falling.rate(4) == 0.25
    assert falling.rate(12) == 1 / 16


@pytest.mark.parametrize("wrong", [{"gamma": 0.1}, {"power": 0.75}, {"gamma": -0.1, "power": 1.0}])
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match=r"gamma|power"):
        policy(base_lr=1.0, **wrong)
