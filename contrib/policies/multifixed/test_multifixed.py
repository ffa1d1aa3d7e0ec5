"""multifixed: the checklist of policies, and the number of the stage."""

from cafx.conformance import plugin_suite
from cafx.kernel import schema
from cafx_policy_multifixed import MultiFixed

TestDialectMultifixed = plugin_suite("dialect", "multifixed")

TestMultiFixed = plugin_suite("policy", "multifixed")


def test_the_step_is_the_stage_s_number() -> None:
    options = schema()["SolverParameter"](stagelr=[1.0, 0.5, 0.25], stageiter=[2, 3, 5])
    assert [MultiFixed(options).step(i) for i in (0, 1, 2, 3, 9)] == [0, 0, 1, 2, 2]
