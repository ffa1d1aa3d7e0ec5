"""fixed: the rate at several iterations."""

from cafx.kernel import registry, schema


def test_the_rate_is_base_lr_at_every_iteration() -> None:
    policy = registry().load("policy", "fixed")(schema()["SolverParameter"](base_lr=0.25, gamma=0.1))
    assert [policy.rate(iteration) for iteration in (0, 1, 10_000)] == [0.25] * 3
