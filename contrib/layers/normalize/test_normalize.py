"""Normalize beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestNormalize = layer_suite("Normalize")

RNG = np.random.default_rng(3)
IMAGES, DIFFS = RNG.standard_normal((2, 2, 3, 4, 2))
SCALES = RNG.standard_normal(3)


def transcription(across: bool, eps: float) -> tuple[Any, Any, Any]:
    """Top, input and parameter gradient of the rule, value by value, with one scale per channel."""
    top, dx, dscale = np.zeros_like(IMAGES), np.zeros_like(IMAGES), np.zeros(3)
    for n, c, i, j in np.ndindex(*IMAGES.shape):
        shared = [index for index in np.ndindex(3, 4, 2) if across or index[1:] == (i, j)]
        norm = sum(IMAGES[(n, *index)] ** 2 for index in shared) + eps
        product = sum(IMAGES[(n, *index)] * DIFFS[(n, *index)] for index in shared)
        x, dy = IMAGES[n, c, i, j], DIFFS[n, c, i, j]
        top[n, c, i, j] = SCALES[c] * x / norm**0.5
        dx[n, c, i, j] = SCALES[c] * (dy - x * product / norm) / norm**0.5
        dscale[c] += dy * x / norm**0.5
    return top, dx, dscale


@pytest.mark.parametrize("across", [True, False])
def test_values_and_gradients_are_those_of_the_rule(across: bool) -> None:
    options = {"across_spatial": across, "channel_shared": False, "eps": 0.5}
    run = run_layer("Normalize", [IMAGES], options=options, params=[SCALES], top_diffs=[DIFFS], dtype=np.float64)
    found = run.tops[0], run.bottom_diffs[0], run.param_diffs[0]
    for one, two in zip(found, transcription(across, 0.5), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)


def test_pixels_that_are_zero_stay_zero() -> None:
    run = run_layer("Normalize", [np.zeros((1, 2, 2, 2))], options={"across_spatial": False})
    np.testing.assert_array_equal(run.tops[0], 0)


def test_a_vector_without_channels_is_refused() -> None:
    with pytest.raises(CafxError, match="channel axis"):
        run_layer("Normalize", [np.zeros(3)])
