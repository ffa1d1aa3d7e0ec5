"""ReLU beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import TRAIN, Net, registry, schema

TestReLU = layer_suite("ReLU")


def test_the_gradient_at_zero_is_the_slope() -> None:
    run = run_layer("ReLU", [np.zeros(3)], options={"negative_slope": 0.25}, top_diffs=[np.ones(3)])
    np.testing.assert_array_equal(run.bottom_diffs[0], np.full(3, 0.25, np.float32))


FALLING = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 3 dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: -0.5 } }
"""


@pytest.mark.parametrize("engine", [plugin.name for plugin, _ in registry().usable("engine")])
def test_a_falling_slope_in_place_has_the_gradient_it_has_apart(engine: str) -> None:
    reason = registry().load("engine", engine).unavailable()
    if reason:
        pytest.skip(reason)
    rng, gradients = np.random.default_rng(0), []
    x, dy = (rng.standard_normal((2, 8, 3, 3)).astype(np.float32) for _ in range(2))
    apart = FALLING.replace('top: "conv" relu_param', 'top: "y" relu_param')
    for text, top in ((FALLING, "conv"), (apart, "y")):
        with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine=engine, seed=1) as net:
            net.forward(x=x)
            gradients.append(net.backward(**{top: dy})["x"].copy())
    np.testing.assert_allclose(*gradients, atol=1e-5)


def test_nan_stays_nan_and_an_infinite_gradient_infinite() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 2.0])
    with np.errstate(invalid="ignore"):
        run = run_layer("ReLU", [x], options={"negative_slope": 0.5}, top_diffs=[np.full(4, np.inf)])
    np.testing.assert_array_equal(run.tops[0], [np.nan, np.inf, -np.inf, 2])
    np.testing.assert_array_equal(run.bottom_diffs[0], [np.nan, np.inf, np.inf, np.inf])
