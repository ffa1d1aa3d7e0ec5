"""Padding as in TensorFlow is refused where it would change the net; resize_param may be repeated."""

from __future__ import annotations

from typing import Any

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, TransformationParameter, schema
from cafx.kernel.schema import complete

TestDialectMobilenet = plugin_suite("dialect", "mobilenet")


def test_padding_as_in_tensorflow_is_refused() -> None:
    with pytest.raises(CafxError, match=r"n: ConvolutionParameter.tf_pad"):
        schema().parse_text("layer { convolution_param { pad: 1 tf_pad: true } }", "NetParameter", "n")
    text = schema().to_text(schema().parse_text("convolution_param { pad: 1 tf_pad: false }", "LayerParameter"))
    assert text == "convolution_param {\n  pad: 1\n}\n"


SIZES = "resize_param { prob: 0.5 height: 416 width: 416 } resize_param { prob: 0.5 height: 320 width: 352 }"


def test_a_resize_param_is_one_message_or_several() -> None:
    def read(text: str) -> Any:
        return complete(TransformationParameter).from_proto(schema().parse_text(text, "TransformationParameter"))

    one, several = read("resize_param { height: 300 width: 200 } emit_constraint { }"), read(SIZES + " mirror: true")
    assert (one.resize_param.height, one.resize_param.width) == (300, 200)
    assert [(each.height, each.width, each.prob) for each in several.resize_param] == [(416, 416, 0.5), (320, 352, 0.5)]
    assert one.has("resize_param")
    assert several.has("resize_param")


def test_both_kinds_stand_side_by_side_in_a_net() -> None:
    text = f"layer {{ transform_param {{ {SIZES} }} }} layer {{ transform_param {{ resize_param {{ height: 5 }} }} }}"
    net = schema().parse_text(text, "NetParameter")
    assert net.layer[1].transform_param.resize_param.height == 5
    written = schema().to_text(net)
    assert written.count("resize_param {") == 3
    assert schema().parse_text(written, "NetParameter") == net
