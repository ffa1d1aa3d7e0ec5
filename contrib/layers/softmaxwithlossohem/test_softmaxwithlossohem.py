"""SoftmaxWithLossOHEM beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestSoftmaxWithLossOHEM = layer_suite("SoftmaxWithLossOHEM")


def test_the_losses_per_position_are_not_divided_and_0_where_ignored() -> None:
    loss = {"loss_param": {"ignore_label": -1}}
    run = run_layer("SoftmaxWithLossOHEM", [np.zeros((3, 4)), [0, -1, 2]], tops=3, layer=loss)
    np.testing.assert_allclose(run.tops[2], [np.log(4), 0, np.log(4)], rtol=1e-6)
    np.testing.assert_allclose(run.tops[0], np.log(4), rtol=1e-6)
