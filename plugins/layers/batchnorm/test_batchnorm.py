"""What the shared suite cannot know of BatchNorm."""

import numpy as np

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import Phase

TestBatchNorm = layer_suite("BatchNorm")
BATCH = np.random.default_rng(5).standard_normal((4, 3, 2, 2)) * 3 + 1


def test_each_channel_ends_with_mean_zero_and_variance_one() -> None:
    y = run_layer("BatchNorm", [BATCH]).tops[0]
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, rtol=1e-4)


def test_the_running_variance_is_without_bias() -> None:
    layer = run_layer("BatchNorm", [BATCH], options={"moving_average_fraction": 0.5}).layer
    mean, variance, factor = (blob.host() for blob in layer.blobs)
    np.testing.assert_allclose(mean, BATCH.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(variance, BATCH.var(axis=(0, 2, 3), ddof=1), rtol=1e-5)
    assert factor == 1


def test_running_statistics_that_were_never_fed_are_zero() -> None:
    y = run_layer("BatchNorm", [BATCH], options={"eps": 0.25}, phase=Phase.TEST).tops[0]
    np.testing.assert_allclose(y, BATCH / 0.5, rtol=1e-6)


def test_no_solver_moves_its_sums() -> None:
    run = run_layer("BatchNorm", [BATCH], top_diffs=[BATCH])
    assert [each.lr_mult for each in run.net.parameters] == [0, 0, 0]
    assert not any(diff.any() for diff in run.param_diffs)
