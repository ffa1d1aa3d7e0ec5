"""What the shared suite cannot know of MultinomialLogisticLoss."""

import math

import pytest

from cafx.conformance import layer_suite, run_layer

TestMultinomialLogisticLoss = layer_suite("MultinomialLogisticLoss")


def test_a_probability_of_zero_costs_as_much_as_the_smallest_that_counts() -> None:
    run = run_layer("MultinomialLogisticLoss", [[[0.0, 1.0]], [0.0]])
    assert run.tops[0] == pytest.approx(-math.log(1e-20))
