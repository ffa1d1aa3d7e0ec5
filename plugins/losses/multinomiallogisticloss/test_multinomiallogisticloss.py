"""MultinomialLogisticLoss beyond the conformance suite."""

import math

import pytest

from cafx.conformance import layer_suite, run_layer

TestMultinomialLogisticLoss = layer_suite("MultinomialLogisticLoss")


def test_a_probability_of_zero_has_the_loss_of_the_lower_bound() -> None:
    run = run_layer("MultinomialLogisticLoss", [[[0.0, 1.0]], [0.0]])
    assert run.tops[0] == pytest.approx(-math.log(1e-20))
