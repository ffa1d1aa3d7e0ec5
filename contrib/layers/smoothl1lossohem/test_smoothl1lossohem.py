"""SmoothL1LossOHEM beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer

TestSmoothL1LossOHEM = layer_suite("SmoothL1LossOHEM")


@pytest.mark.parametrize(("fixed", "loss"), [(4.0, 1.5), (1.0, 6.0), (0.25, 6.0)])
def test_a_fixed_divisor_is_at_least_1(fixed: float, loss: float) -> None:
    options = {"loss_param": {"normalization": "PRE_FIXED", "pre_fixed_normalizer": fixed}}
    run = run_layer("SmoothL1LossOHEM", [np.full((2, 2), 2.0), np.zeros((2, 2))], layer=options)
    assert run.tops[0] == pytest.approx(loss)


def test_the_losses_per_position_are_sums_over_channels_that_are_not_divided() -> None:
    x = np.array([[[3.0, 0.5], [-1.0, 0.0]]])
    run = run_layer("SmoothL1LossOHEM", [x, np.zeros_like(x)], tops=2)
    np.testing.assert_allclose(run.tops[1], [[[3.0, 0.125]]])
