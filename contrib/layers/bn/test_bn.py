"""BN beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Phase

TestBN = layer_suite("BN")

BATCH = np.random.default_rng(5).standard_normal((4, 3, 2, 2)) * 3 + 1
ONE = {"type": "constant", "value": 1}
MEAN, VARIANCE = 2, 3
TOLERANCE = 1e-5


def test_pspnets_running_statistics_are_averages_of_a_batchs_mean_and_biased_variance() -> None:
    layer = run_layer("BN", [BATCH], options={"momentum": 0.7, "slope_filler": ONE}).layer
    mean, variance = (layer.blobs[index].host().ravel() for index in (MEAN, VARIANCE))
    np.testing.assert_allclose(mean, 0.3 * BATCH.mean(axis=(0, 2, 3)), rtol=TOLERANCE)
    np.testing.assert_allclose(variance, 0.3 * BATCH.var(axis=(0, 2, 3)), rtol=TOLERANCE)


@pytest.mark.parametrize(("frozen", "variance"), [(False, 0), (True, 1)])
def test_the_running_variance_begins_as_one_if_frozen(frozen: bool, variance: float) -> None:
    layer = run_layer("BN", [BATCH], options={"frozen": frozen}, phase=Phase.TEST).layer
    assert (layer.blobs[VARIANCE].host() == variance).all()


@pytest.mark.parametrize(("frozen", "multipliers"), [(False, [2, 2, 0, 0]), (True, [0, 0, 0, 0])])
def test_a_solver_trains_slope_and_bias_only(frozen: bool, multipliers: list[float]) -> None:
    stated = {"param": [{"lr_mult": 2, "decay_mult": 2}] * MEAN}
    run = run_layer("BN", [BATCH], options={"frozen": frozen}, layer=stated, top_diffs=[BATCH])
    assert [each.multipliers for each in run.net.parameters] == [(each, each) for each in multipliers]
    assert any(diff.any() for diff in run.param_diffs[:MEAN]) is not frozen
    assert not any(diff.any() for diff in run.param_diffs[MEAN:])


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
def test_segnets_layer_normalises_by_the_batch_in_both_phases(phase: Phase) -> None:
    run = run_layer("BN", [BATCH], options={"scale_filler": ONE}, phase=phase, tops=3)
    mean, variance = BATCH.mean(axis=(0, 2, 3), keepdims=True), BATCH.var(axis=(0, 2, 3), keepdims=True)
    for top, expected in zip(run.tops, ((BATCH - mean) / np.sqrt(variance), mean, variance), strict=True):
        np.testing.assert_allclose(top, expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert len(run.layer.blobs) == 2


def test_segnets_inference_only_scales_and_shifts() -> None:
    options = {"bn_mode": "INFERENCE", "scale_filler": {"type": "constant", "value": 3}, "shift_filler": ONE}
    run = run_layer("BN", [BATCH], options=options, phase=Phase.TEST)
    np.testing.assert_array_equal(run.tops[0], BATCH.astype(np.float32) * 3 + 1)


@pytest.mark.parametrize(
    ("layer", "options", "tops", "blobs"),
    [({}, {}, 1, 4), ({}, {}, 2, 2), ({"blobs": [{}, {}]}, {}, 1, 2), ({}, {"bn_mode": "LEARN"}, 1, 2)],
)
def test_the_fork_is_told_by_options_tops_and_blobs(
    layer: dict[str, Any], options: dict[str, Any], tops: int, blobs: int
) -> None:
    assert len(run_layer("BN", [BATCH], options=options, layer=layer, tops=tops).layer.blobs) == blobs


@pytest.mark.parametrize(
    ("options", "tops", "message"),
    [
        ({"momentum": 0.5, "bn_mode": "LEARN"}, 1, "options of two forks"),
        ({"momentum": 0.5}, 2, "no statistics as tops"),
        ({"bn_mode": "INFERENCE"}, 3, "no statistics as tops"),
    ],
)
def test_what_no_fork_has_is_refused(options: dict[str, Any], tops: int, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        run_layer("BN", [BATCH], options=options, tops=tops)
