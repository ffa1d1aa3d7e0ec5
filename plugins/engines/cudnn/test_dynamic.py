"""Shapes that change in the middle of a pass: what came before has left for backward what it needs."""

import numpy as np
import pytest

from cafx.conformance.nets import assert_all_near, net_of_text, param_gradients

ITEMS = 6
COUNTS = (6, 3, 3, 5, 3, 6)
FILLED = 'weight_filler { type: "msra" } bias_filler { type: "uniform" min: -0.1 max: 0.1 }'
BEFORE = {
    "pooling": 'layer { name: "p" type: "Pooling" bottom: "c" top: "b" pooling_param { kernel_size: 2 stride: 2 } }',
    "normalisation": """
        layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
        layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
        layer { name: "r" type: "ReLU" bottom: "c" top: "b" }""",
    "activations": """
        layer { name: "e" type: "ELU" bottom: "c" top: "c" }
        layer { name: "pr" type: "PReLU" bottom: "c" top: "c" }
        layer { name: "t" type: "TanH" bottom: "c" top: "b" }""",
    "loss": f"""
        layer {{ name: "f" type: "InnerProduct" bottom: "c" top: "b" inner_product_param {{ num_output: 4 {FILLED} }} }}
        layer {{ name: "l" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "l" }}""",
}
NET = """
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 6 dim: 3 dim: 8 dim: 8 }} }} }}
    layer {{ name: "which" type: "Input" top: "which" input_param {{ shape {{ dim: 6 dim: 1 dim: 1 dim: 1 }} }} }}
    layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: 6 }} }} }}
    layer {{ name: "c" type: "Convolution" bottom: "data" top: "c"
             convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 {filled} }} }}
    {before}
    layer {{ name: "some" type: "Filter" bottom: "b" bottom: "which" top: "some" }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "some" top: "ip"
             inner_product_param {{ num_output: 4 {filled} }} }}
    layer {{ name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 0.1
             reduction_param {{ operation: SUMSQ }} }}"""


@pytest.mark.parametrize("before", BEFORE)
def test_gradients_agree_with_the_host_in_every_pass(before, make_engine):
    text = NET.format(before=BEFORE[before], filled=FILLED)
    nets = [net_of_text(text, engine=each, seed=1) for each in ("numpy", make_engine())]
    rng = np.random.default_rng(0)
    for count in COUNTS:
        which = np.zeros(ITEMS)
        which[rng.permutation(ITEMS)[:count]] = 1
        values = {"data": rng.standard_normal((ITEMS, 3, 8, 8)), "which": which, "label": rng.integers(0, 4, ITEMS)}
        for net in nets:
            for name, array in values.items():
                net.blobs[name].set_data(array)
            net.clear_param_diffs()
            net.run_forward()
            net.run_backward()
        expected, found = (param_gradients(net) for net in nets)
        assert_all_near(
            {"all": np.concatenate([each.ravel() for each in found.values()])},
            {"all": np.concatenate([each.ravel() for each in expected.values()])},
            1e-4,
        )
