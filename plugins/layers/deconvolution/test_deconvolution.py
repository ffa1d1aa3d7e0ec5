"""Deconvolution beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestDeconvolution = layer_suite("Deconvolution")

RNG = np.random.default_rng(7)


def test_it_is_the_gradient_of_a_convolution() -> None:
    geometry = {"kernel_size": [3], "stride": [2], "pad": [1], "group": 2, "bias_term": False}
    weights, maps = RNG.standard_normal((6, 2, 3, 3)), RNG.standard_normal((2, 6, 4, 3))
    shared = {"params": [weights], "dtype": np.float64}
    up = run_layer("Deconvolution", [maps], options={"num_output": 4, **geometry}, **shared)
    images, options = np.zeros((2, 4, 7, 5)), {"num_output": 6, **geometry}
    down = run_layer("Convolution", [images], options=options, top_diffs=[maps], **shared)
    np.testing.assert_allclose(up.tops[0], down.bottom_diffs[0])


@pytest.mark.parametrize("options", [{"pad": [1]}, {"group": 2}, {"num_output": 0}])
def test_invalid_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(CafxError, match=r"not valid|subject"):
        run_layer("Deconvolution", [np.zeros((1, 3, 1, 1))], options={"num_output": 2, "kernel_size": [1], **options})


def test_the_top_of_an_empty_image_is_the_bias() -> None:
    run = run_layer("Deconvolution", [np.zeros((2, 1, 0))], options={"num_output": 3, "kernel_size": [3]})
    assert run.tops[0].shape == (2, 3, 2)
    assert not run.tops[0].any()


def test_an_empty_image_has_an_empty_gradient() -> None:
    options = {"num_output": 3, "kernel_size": [3], "axis": -3}
    run = run_layer("Deconvolution", [np.zeros((1, 0, 0))], options=options, top_diffs=[np.ones((3, 2, 2))])
    assert run.bottom_diffs[0].shape == (1, 0, 0)
    assert run.param_diffs[1].tolist() == [4.0, 4.0, 4.0]
