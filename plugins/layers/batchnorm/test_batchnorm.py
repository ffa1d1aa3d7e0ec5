"""BatchNorm beyond the conformance suite."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import Phase, schema
from cafx.kernel.net import Communicator, Context
from cafx_layer_batchnorm import BatchNorm

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


class Together(Communicator):
    """One of two ranks that are threads of this process."""

    size = 2
    syncs_statistics = True

    def __init__(self, rank: int, parts: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self._parts, self._barrier = rank, parts, barrier

    def allreduce(self, array: Any) -> None:
        """Σ over both."""
        self._parts[self.rank] = array.copy()
        self._barrier.wait()
        array[...] = self._parts[0] + self._parts[1]
        self._barrier.wait()


def one_pass(
    x: Any, dy: Any, communicator: Communicator, phase: Phase = Phase.TRAIN, *, in_place: bool = False
) -> dict[str, Any]:
    """Forward and backward of one layer."""
    context = Context(phase=phase, dtype="float64", communicator=communicator)
    spec = schema()["LayerParameter"](name="bn", type="BatchNorm", bottom=["x"], top=["y"])
    layer, bottom, top = BatchNorm(spec, context), context.blob(x.shape), context.blob()
    bottom.set_data(x)
    top = bottom if in_place else top
    layer.setup([bottom], [top])
    layer.reshape([bottom], [top])
    layer.forward([bottom], [top])
    top.mutable_diff[...] = dy
    layer.backward([top], [True], [bottom])
    return {"y": top.host(), "dx": bottom.host_diff(), "sums": [each.host() for each in layer.blobs]}


def in_two_threads(parts: list[tuple[Any, Any]], phase: Phase = Phase.TRAIN, **options: bool) -> list[dict[str, Any]]:
    """`one_pass` of two ranks."""
    shared, barrier = [None, None], threading.Barrier(2, timeout=30)
    with ThreadPoolExecutor(2) as pool:
        ranks = [
            pool.submit(one_pass, *part, Together(rank, shared, barrier), phase, **options)
            for rank, part in enumerate(parts)
        ]
        return [each.result() for each in ranks]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("first", [2, 1, 4])
def test_statistics_of_two_ranks_are_those_of_one_with_both_batches(first: int, in_place: bool) -> None:
    x, dy = BATCH + 100, np.random.default_rng(6).standard_normal(BATCH.shape)
    ranks = in_two_threads([(x[:first], dy[:first]), (x[first:], dy[first:])], in_place=in_place)
    alone = one_pass(x, dy, Communicator())
    for name in ("y", "dx"):
        joined = np.concatenate([each[name] for each in ranks])
        np.testing.assert_allclose(joined, alone[name], rtol=1e-9, atol=1e-10)
    for each, other, expected in zip(ranks[0]["sums"], ranks[1]["sums"], alone["sums"], strict=True):
        np.testing.assert_array_equal(each, other)
        np.testing.assert_allclose(each, expected, rtol=1e-12)


def test_ranks_in_test_phase_do_not_wait_for_each_other() -> None:
    parts = [(BATCH, BATCH), (2 * BATCH, BATCH)]
    ranks = in_two_threads(parts, Phase.TEST)
    alone = [one_pass(*part, Communicator(), Phase.TEST) for part in parts]
    for found, expected in zip(ranks, alone, strict=True):
        np.testing.assert_array_equal(found["y"], expected["y"])
