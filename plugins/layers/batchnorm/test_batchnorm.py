"""BatchNorm beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import Phase

TestBatchNorm = layer_suite("BatchNorm")
BATCH = np.random.default_rng(5).standard_normal((4, 3, 2, 2)) * 3 + 1


def test_each_channel_is_normalised_to_mean_zero_and_variance_one() -> None:
    y = run_layer("BatchNorm", [BATCH]).tops[0]
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, rtol=1e-4)


def test_the_running_variance_is_unbiased() -> None:
    layer = run_layer("BatchNorm", [BATCH], options={"moving_average_fraction": 0.5}).layer
    mean, variance, factor = (blob.host() for blob in layer.blobs)
    np.testing.assert_allclose(mean, BATCH.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(variance, BATCH.var(axis=(0, 2, 3), ddof=1), rtol=1e-5)
    assert factor == 1


def test_running_statistics_are_zero_before_the_first_update() -> None:
    run = run_layer("BatchNorm", [BATCH], options={"eps": 0.25}, phase=Phase.TEST)
    assert not any(statistic.any() for statistic in run.layer.running_statistics())
    np.testing.assert_allclose(run.tops[0], BATCH / 0.5, rtol=1e-6)


def test_running_statistics_average_the_updates() -> None:
    layer = run_layer("BatchNorm", [BATCH], options={"moving_average_fraction": 0.5}, phase=Phase.TEST).layer
    for value in (1.0, 4.0):
        layer.update_running_statistics(np.full(3, value), np.zeros(3))
    mean, variance = layer.running_statistics()
    np.testing.assert_allclose(mean, np.full(3, (0.5 * 1 + 4) / 1.5), rtol=1e-6)
    assert not variance.any()


def test_a_solver_does_not_train_the_sums() -> None:
    run = run_layer("BatchNorm", [BATCH], top_diffs=[BATCH])
    assert [each.lr_mult for each in run.net.parameters] == [0, 0, 0]
    assert not any(diff.any() for diff in run.param_diffs)
