"""A layer in place that overwrites what a gradient is computed from is told."""

from __future__ import annotations

import pytest

from cafx.kernel import TEST, TRAIN, Net, Phase, schema

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 4 } }
layer { name: "first" type: "FIRST" bottom: "a" top: "b" }
layer { name: "second" type: "SECOND" bottom: "b" top: "TOP" }
layer { name: "loss" type: "Reduction" bottom: "TOP" top: "loss" loss_weight: 1 }
"""
TOLD = (
    "layer 'first' (Sigmoid) computes its gradient from its top, which layer 'second' (Dropout) overwrites: "
    "the gradient may be wrong, as in Caffe; give the top of 'second' another name"
)


def warnings(first: str, second: str, top: str, phase: Phase, caplog: pytest.LogCaptureFixture) -> list[str]:
    text = NET.replace("FIRST", first).replace("SECOND", second).replace("TOP", top)
    Net(schema().parse_text(text, "NetParameter"), phase, engine="numpy")
    return [record.getMessage() for record in caplog.records if "overwrites" in record.getMessage()]


def test_the_layers_are_named(caplog: pytest.LogCaptureFixture) -> None:
    (told,) = warnings("Sigmoid", "Dropout", "b", TRAIN, caplog)
    assert told.endswith(TOLD)


@pytest.mark.parametrize(
    ("first", "second", "top"), [("Sigmoid", "Dropout", "c"), ("ReLU", "Dropout", "b"), ("Eltwise", "ReLU", "b")]
)
def test_nothing_is_said_where_nothing_is_lost(
    first: str, second: str, top: str, caplog: pytest.LogCaptureFixture
) -> None:
    if first == "Eltwise":
        first = 'Eltwise" bottom: "a'
    assert not warnings(first, second, top, TRAIN, caplog)


def test_nothing_is_said_where_nothing_is_learned(caplog: pytest.LogCaptureFixture) -> None:
    text = NET.replace('type: "InnerProduct"', 'param { lr_mult: 0 } param { lr_mult: 0 } type: "InnerProduct"')
    text = text.replace("FIRST", "Sigmoid").replace("SECOND", "Dropout").replace("TOP", "b")
    Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy")
    assert "overwrites" not in caplog.text
