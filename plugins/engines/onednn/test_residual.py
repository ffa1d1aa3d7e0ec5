"""TEST phase: a convolution takes the normalisation and the sum behind it, where nobody sees what is between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.kernel import Net, Phase, schema
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 1e-5
"""Of the largest value."""
SUMMED = "fused: normalisation folded into the weights, sum as post-op"


def convolved(bottom: str, name: str, kernel: int = 1) -> str:
    return f"""
    layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{
      num_output: 32 kernel_size: {kernel} pad: {kernel // 2} bias_term: false weight_filler {{ type: "msra" }} }} }}
    layer {{ name: "{name}_norm" type: "BatchNorm" bottom: "{name}" top: "{name}" }}
    layer {{ name: "{name}_scale" type: "Scale" bottom: "{name}" top: "{name}" scale_param {{ bias_term: true }} }}"""


def block(kernel: int = 1, order: str = 'bottom: "pre" bottom: "conv"', unit: str = "", more: str = "") -> str:
    return f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 32 dim: 6 dim: 7 }} }} }}
    {convolved("data", "pre")} {convolved("pre", "conv", kernel)}
    layer {{ name: "sum" type: "Eltwise" {order} top: "sum" {more} }}
    {f'layer {{ name: "unit" type: "ReLU" bottom: "sum" top: "sum" {unit} }}' if unit != "none" else ""}
    {convolved("sum", "last")}"""


def ran(text: str, engine: str, keep: Any = "outputs", again: int = 1) -> tuple[list[str], np.ndarray]:
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TEST, engine=engine, keep=keep, seed=1)
    rng = np.random.default_rng(2)
    for name, blobs in net.params.items():
        if name.endswith("_norm"):
            for blob, values in zip(blobs, (rng.random(32), rng.random(32) + 0.5, [1.0]), strict=True):
                blob.mutable_data[...] = values
        elif name.endswith("_scale"):
            blobs[1].mutable_data[...] = rng.random(32)
    data = rng.standard_normal((2, 32, 6, 7))
    for _ in range(again):
        found = net.forward(data=data)["last"].copy()
    return [step.note for step in net.program.steps], found


@pytest.mark.parametrize("order", ['bottom: "pre" bottom: "conv"', 'bottom: "conv" bottom: "pre"'])
@pytest.mark.parametrize("unit", ["", "relu_param { negative_slope: 0.1 }", "none"])
def test_the_sum_is_part_of_the_convolution(order: str, unit: str) -> None:
    text = block(order=order, unit=unit)
    notes, found = ran(text, "onednn", again=2)
    _, expected = ran(text, "numpy")
    assert SUMMED in notes
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        (block(), "all"),
        (block(), ["conv"]),
        (block(more="eltwise_param { coeff: 1 coeff: -1 }"), "outputs"),
        (block(more="eltwise_param { operation: MAX }"), "outputs"),
        (block(order='bottom: "conv" bottom: "conv"'), "outputs"),
        (block() + convolved("conv", "other"), "outputs"),
    ],
    ids=["all kept", "its result kept", "a difference", "a maximum", "with itself", "seen by another"],
)
def test_the_sum_stays_apart_where_it_must(text: str, keep: Any) -> None:
    notes, found = ran(text, "onednn", keep)
    _, expected = ran(text, "numpy", keep)
    assert SUMMED not in notes
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
