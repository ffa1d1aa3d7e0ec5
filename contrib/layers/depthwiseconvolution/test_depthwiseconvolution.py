"""DepthwiseConvolution beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import Net, Phase, registry, schema

TestDepthwiseConvolution = layer_suite("DepthwiseConvolution")

BLOCK = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 32 dim: 9 dim: 8 }} }} }}
layer {{ name: "dw" type: "{type}" bottom: "x" top: "dw" convolution_param {{
  num_output: 32 group: 32 kernel_size: 3 pad: 1 stride: 2 bias_term: false weight_filler {{ type: "msra" }} }} }}
{norm}
layer {{ name: "relu" type: "ReLU" bottom: "dw" top: "dw" }}
"""
NORM = """
layer { name: "bn" type: "BatchNorm" bottom: "dw" top: "dw" }
layer { name: "scale" type: "Scale" bottom: "dw" top: "dw" scale_param { bias_term: true } }
"""


def net(type_name: str, norm: str, engine: str) -> Net:
    """A MobileNet's block, ready for inference."""
    text = BLOCK.format(type=type_name, norm=norm)
    return Net(schema().parse_text(text, "NetParameter"), Phase.TEST, engine=engine)


@pytest.mark.parametrize("norm", ["", NORM], ids=["relu", "norm"])
def test_onednn_fuses_it_as_it_fuses_convolutions(norm: str) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    plain, depthwise, convolution = (
        net(type_name, norm, engine)
        for type_name, engine in (
            ("DepthwiseConvolution", "numpy"),
            ("DepthwiseConvolution", "onednn"),
            ("Convolution", "onednn"),
        )
    )
    depthwise.share_with(plain)
    x = np.random.default_rng(4).standard_normal((2, 32, 9, 8))
    expected_top = plain.forward(x=x)["dw"].copy()
    rounding = 1e-6 * float(expected_top.max())  # without statistics, BatchNorm divides by the root of eps
    np.testing.assert_allclose(depthwise.forward(x=x)["dw"], expected_top, rtol=1e-4, atol=rounding)
    steps, expected = depthwise.program.steps, convolution.program.steps
    assert len(steps) == 2
    assert steps[1].note == expected[1].note
    found: Any = steps[1].routines[0]
    assert found.forward_desc.implementation == expected[1].routines[0].forward_desc.implementation


def test_without_group_all_channels_are_connected() -> None:
    x = np.random.default_rng(6).standard_normal((1, 3, 4, 4))
    weights = np.random.default_rng(7).standard_normal((2, 3, 1, 1))
    options = {"num_output": 2, "kernel_size": [1], "bias_term": False}
    run = run_layer("DepthwiseConvolution", [x], options=options, params=[weights], dtype=np.float64)
    np.testing.assert_allclose(run.tops[0], np.einsum("mc,nchw->nmhw", weights[:, :, 0, 0], x))
