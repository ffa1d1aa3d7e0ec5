"""exp: the rate, against the formula."""

import pytest

from cafx.kernel import CafxError, schema
from cafx_policy_exp import Exp


def policy(**options: object) -> Exp:
    return Exp(schema()["SolverParameter"](lr_policy="exp", **options))


def test_the_rate_decays_every_iteration() -> None:
    falling = policy(base_lr=2.0, gamma=0.5)
    assert [falling.rate(i) for i in range(4)] == [2, 1, 0.5, 0.25]
    assert falling.step(3) == 0


@pytest.mark.parametrize("wrong", [{}, {"gamma": -0.5}])
def test_invalid_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(CafxError, match="gamma"):
        policy(base_lr=1.0, **wrong)
