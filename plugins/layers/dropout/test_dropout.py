"""Dropout beyond the conformance suite: statistics and change of masks."""

import numpy as np

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import Phase

TestDropout = layer_suite("Dropout")


def test_kept_values_are_scaled_and_gradients_share_the_mask() -> None:
    ones = np.ones((200, 300))
    run = run_layer("Dropout", [ones], options={"dropout_ratio": 0.25}, top_diffs=[ones])
    scale = np.float32(1 / 0.75)
    assert set(np.unique(run.tops[0])) == {np.float32(0), scale}
    assert abs((run.tops[0] == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / ones.size)
    np.testing.assert_array_equal(run.bottom_diffs[0], run.tops[0])


def test_every_forward_pass_draws_another_mask() -> None:
    run = run_layer("Dropout", [np.ones(1000)])
    run.net.run_forward()
    assert not np.array_equal(run.net.blobs["top0"].host(), run.tops[0])


def test_it_is_the_identity_in_test_phase() -> None:
    x = np.arange(6.0).reshape(2, 3)
    run = run_layer("Dropout", [x], options={"dropout_ratio": 1.0}, phase=Phase.TEST, top_diffs=[x])
    np.testing.assert_array_equal(run.tops[0], x)
    np.testing.assert_array_equal(run.bottom_diffs[0], x)
