"""adjusted: warm-up and lower bound around another policy, as solvers of Intel's and NVIDIA's forks state them."""

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, registry, schema
from cafx.kernel.training import Policy

TestDialectAdjusted = plugin_suite("dialect", "adjusted")
TestUpgradeAdjusted = plugin_suite("upgrade", "adjusted")

TestAdjusted = plugin_suite("policy", "adjusted")


def policy(text: str) -> Policy:
    """The policy of a solver prototxt."""
    options = schema().parse_text(text, "SolverParameter")
    for _, upgrade in registry().usable("upgrade"):
        options = upgrade().upgrade_solver(options, "solver")
    made: Policy = registry().load("policy", options.lr_policy)(options)
    return made


STEP = 'base_lr: 1 lr_policy: "step" gamma: 0.5 stepsize: 4 '


@pytest.mark.parametrize("names", [("warmup_iter", "warmup_start_lr"), ("rampup_interval", "rampup_lr")])
def test_the_rate_rises_to_base_lr_and_then_follows_the_policy(names: tuple[str, str]) -> None:
    warm = policy(STEP + "{}: 4 {}: 0.2".format(*names))
    assert [warm.rate(i) for i in range(9)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.5, 0.5, 0.5, 0.5, 0.25])
    assert [warm.step(i) for i in (0, 4, 8)] == [0, 1, 2]


def test_the_rate_does_not_fall_below_its_bound() -> None:
    bounded = policy('base_lr: 1 lr_policy: "poly" power: 1 max_iter: 4 min_lr: 0.3')
    assert [bounded.rate(i) for i in range(5)] == pytest.approx([1, 0.75, 0.5, 0.3, 0.3])


def test_a_solver_without_these_fields_keeps_its_policy() -> None:
    assert type(policy(STEP)).__name__ == "Step"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STEP + "warmup_iter: 2 rampup_interval: 3", "both set"),
        ('base_lr: 1 lr_policy: "adjusted"', "adjusted_policy"),
        ('base_lr: 1 lr_policy: "step" warmup_iter: 2', "gamma"),
        ('base_lr: 1 lr_policy: "stepp" warmup_iter: 2', "did you mean 'step'"),
    ],
)
def test_mistakes_are_refused(text: str, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        policy(text)
