"""Padding as in TensorFlow is recognised, and refused where it would change the net."""

from __future__ import annotations

import pytest

from cafx.kernel import CafxError, schema


def test_padding_as_in_tensorflow_is_refused() -> None:
    with pytest.raises(CafxError, match=r"n: ConvolutionParameter.tf_pad"):
        schema().parse_text("layer { convolution_param { pad: 1 tf_pad: true } }", "NetParameter", "n")
    text = schema().to_text(schema().parse_text("convolution_param { pad: 1 tf_pad: false }", "LayerParameter"))
    assert text == "convolution_param {\n  pad: 1\n}\n"
