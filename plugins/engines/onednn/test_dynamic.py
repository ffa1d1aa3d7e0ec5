"""Shapes that change in the middle of a pass: what came before has left for backward what it needs."""

from __future__ import annotations

import pytest

from cafx.conformance.nets import FILLED, assert_gradients_outlast_changed_shapes
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

BEFORE = {
    "pooling": 'layer { name: "p" type: "Pooling" bottom: "c" top: "b" pooling_param { kernel_size: 2 stride: 2 } }',
    "normalisation": 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "b" }',
    "in place": """
        layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
        layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
        layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
        layer { name: "p" type: "Pooling" bottom: "c" top: "b" pooling_param { kernel_size: 2 stride: 2 } }""",
    "several": """
        layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
        layer { name: "n" type: "LRN" bottom: "c" top: "n" }
        layer { name: "m" type: "Pooling" bottom: "n" top: "m" pooling_param { kernel_size: 3 stride: 1 } }
        layer { name: "t" type: "TanH" bottom: "m" top: "b" }""",
    "loss": """
        layer { name: "f" type: "InnerProduct" bottom: "c" top: "b" inner_product_param { num_output: 4 FILLED } }
        layer { name: "l" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "l" }""".replace("FILLED", FILLED),
}


@pytest.mark.parametrize("before", BEFORE)
def test_gradients_agree_with_numpy_in_every_pass(before: str) -> None:
    assert_gradients_outlast_changed_shapes(BEFORE[before], "onednn")
