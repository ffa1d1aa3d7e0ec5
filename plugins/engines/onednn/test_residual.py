"""In TEST phase a convolution absorbs the normalisation and sum after it, unless something else reads their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance.nets import assert_near, net_of_text
from cafx.kernel import Phase
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 1e-5
"""Relative to the largest value."""
SUMMED = "fused: normalisation folded into the weights, sum as post-op"


def normalised_convolution(bottom: str, name: str, kernel: int = 1) -> str:
    return f"""
    layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{
      num_output: 32 kernel_size: {kernel} pad: {kernel // 2} bias_term: false weight_filler {{ type: "msra" }} }} }}
    layer {{ name: "{name}_norm" type: "BatchNorm" bottom: "{name}" top: "{name}" }}
    layer {{ name: "{name}_scale" type: "Scale" bottom: "{name}" top: "{name}" scale_param {{ bias_term: true }} }}"""


def block(kernel: int = 1, order: str = 'bottom: "pre" bottom: "conv"', relu: str = "", more: str = "") -> str:
    return f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 32 dim: 6 dim: 7 }} }} }}
    {normalised_convolution("data", "pre")}
    {normalised_convolution("pre", "conv", kernel)}
    layer {{ name: "sum" type: "Eltwise" {order} top: "sum" {more} }}
    {f'layer {{ name: "relu" type: "ReLU" bottom: "sum" top: "sum" {relu} }}' if relu != "none" else ""}
    {normalised_convolution("sum", "last")}"""


def notes_and_result(text: str, engine: str, keep: Any = "outputs", passes: int = 1) -> tuple[list[str], np.ndarray]:
    net = net_of_text(text, Phase.TEST, engine=engine, keep=keep, seed=1)
    rng = np.random.default_rng(2)
    for name, blobs in net.params.items():
        if name.endswith("_norm"):
            for blob, values in zip(blobs, (rng.random(32), rng.random(32) + 0.5, [1.0]), strict=True):
                blob.mutable_data[...] = values
        elif name.endswith("_scale"):
            blobs[1].mutable_data[...] = rng.random(32)
    data = rng.standard_normal((2, 32, 6, 7))
    for _ in range(passes):
        result = net.forward(data=data)["last"].copy()
    return [step.note for step in net.program.steps], result


@pytest.mark.parametrize("order", ['bottom: "pre" bottom: "conv"', 'bottom: "conv" bottom: "pre"'])
@pytest.mark.parametrize("relu", ["", "relu_param { negative_slope: 0.1 }", "none"])
def test_a_sum_is_fused_into_the_convolution_before_it(order: str, relu: str) -> None:
    text = block(order=order, relu=relu)
    notes, result = notes_and_result(text, "onednn", passes=2)
    _, expected = notes_and_result(text, "numpy")
    assert SUMMED in notes
    assert_near(result, expected, TOLERANCE)


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        (block(), "all"),
        (block(), ["conv"]),
        (block(more="eltwise_param { coeff: 1 coeff: -1 }"), "outputs"),
        (block(more="eltwise_param { operation: MAX }"), "outputs"),
        (block(order='bottom: "conv" bottom: "conv"'), "outputs"),
        (block() + normalised_convolution("conv", "other"), "outputs"),
    ],
    ids=["all kept", "result kept", "difference", "maximum", "sum with itself", "read by another layer"],
)
def test_other_sums_are_not_fused(text: str, keep: Any) -> None:
    notes, result = notes_and_result(text, "onednn", keep)
    _, expected = notes_and_result(text, "numpy", keep)
    assert SUMMED not in notes
    assert_near(result, expected, TOLERANCE)


APART = """
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 32 dim: 6 dim: 7 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
      num_output: 32 kernel_size: 1 bias_term: {bias} weight_filler {{ type: "msra" }} }} }}
    layer {{ name: "conv_norm" type: "BatchNorm" bottom: "conv" top: "norm" }}
    layer {{ name: "conv_scale" type: "Scale" bottom: "norm" top: "norm" scale_param {{ bias_term: true }} }}
    {relu}
    layer {{ name: "last" type: "Pooling" bottom: "norm" top: "last" pooling_param {{ pool: AVE kernel_size: 2 }} }}"""
RELU_APART = 'layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }'


@pytest.mark.parametrize("relu", ["", RELU_APART], ids=["linear", "relu"])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_a_normalisation_that_is_not_in_place_is_folded_too(relu: str, bias: str) -> None:
    text = APART.format(relu=relu, bias=bias)
    notes, found = notes_and_result(text, "onednn")
    _, expected = notes_and_result(text, "numpy")
    assert_near(found, expected, TOLERANCE)
    assert [note for note in notes if "folded" in note] == ["fused: normalisation folded into the weights"]


@pytest.mark.parametrize("keep", ["all", ["conv"]])
def test_a_normalisation_that_is_not_in_place_stays_where_its_bottom_is_wanted(keep: Any) -> None:
    notes, _ = notes_and_result(APART.format(relu="", bias="true"), "onednn", keep)
    assert not any("folded" in note for note in notes)
