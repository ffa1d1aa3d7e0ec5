"""Shapes that change in the middle of a pass: what came before has left for backward what it needs."""

import pytest

from cafx.conformance.nets import FILLED, assert_gradients_outlast_changed_shapes

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


@pytest.mark.parametrize("before", BEFORE)
def test_gradients_agree_with_the_host_in_every_pass(before, make_engine):
    assert_gradients_outlast_changed_shapes(BEFORE[before], make_engine())
