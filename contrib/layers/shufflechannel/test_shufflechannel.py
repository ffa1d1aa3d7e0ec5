"""ShuffleChannel beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Net, registry, schema

TestShuffleChannel = layer_suite("ShuffleChannel")


@pytest.mark.parametrize("group", [1, 2, 3, 4, 6, 12])
def test_each_channel_goes_where_it_should(group: int) -> None:
    x = np.arange(2 * 12 * 3 * 2, dtype=np.float32).reshape(2, 12, 3, 2)
    y = run_layer("ShuffleChannel", [x], options={"group": group}).tops[0]
    for g in range(group):
        for i in range(12 // group):
            np.testing.assert_array_equal(y[:, i * group + g], x[:, g * (12 // group) + i])


@pytest.mark.parametrize(("shape", "group"), [((2, 6), 4), ((6,), 1), ((2, 6, 3), 0)])
def test_channels_that_cannot_be_grouped_are_refused(shape: tuple[int, ...], group: int) -> None:
    with pytest.raises(CafxError, match="group"):
        run_layer("ShuffleChannel", [np.zeros(shape)], options={"group": group})


BLOCK = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 24 dim: 5 dim: 6 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: {outputs} kernel_size: 1 group: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "s" type: "ShuffleChannel" bottom: "c" top: "s" shuffle_channel_param {{ group: 3 }} }}
"""


@pytest.mark.parametrize("outputs", [24, 48])
def test_onednn_agrees_behind_a_grouped_convolution(outputs: int) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    text = BLOCK.format(outputs=outputs)
    nets = [Net(schema().parse_text(text, "NetParameter"), engine=name) for name in ("numpy", "onednn")]
    nets[1].share_with(nets[0])
    rng, results, gradients = np.random.default_rng(2), [], []
    x, dy = rng.standard_normal((2, 24, 5, 6)), rng.standard_normal((2, outputs, 5, 6))
    for net in nets:
        results.append(net.forward(x=x)["s"])
        gradients.append(net.backward(s=dy)["x"])
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)
    assert nets[1].program.parts[2].run_by == "onednn"
