"""PReLU in inference: every layout, in place and not, and values that are not finite."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.conformance.nets import assert_near, net_of_text
from cafx.kernel import Phase
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 1e-5
"""Relative to the largest value."""
CONVOLUTION = (
    'type: "Convolution" convolution_param {{ num_output: {} kernel_size: 3 weight_filler {{ type: "msra" }} }}'
)
PRODUCT = 'type: "InnerProduct" inner_product_param {{ num_output: {} weight_filler {{ type: "msra" }} }}'


def text(before: str, top: str, shared: bool = False) -> str:
    options = f'channel_shared: {str(shared).lower()} filler {{ type: "uniform" min: -0.5 max: 1.5 }}'
    return f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 5 dim: 6 dim: 7 }} }} }}
    layer {{ name: "before" bottom: "data" top: "before" {before} }}
    layer {{ name: "prelu" type: "PReLU" bottom: "before" top: "{top}" prelu_param {{ {options} }} }}
    layer {{ name: "after" type: "Power" bottom: "{top}" top: "after" power_param {{ scale: 2 }} }}"""


@pytest.mark.parametrize("top", ["before", "prelu"])
@pytest.mark.parametrize(
    "before", [*(each.format(n) for each in (CONVOLUTION, PRODUCT) for n in (1, 16, 20)), 'type: "Power"']
)
def test_inference_matches_numpy(before: str, top: str) -> None:
    numpy, onednn = (
        net_of_text(text(before, top), Phase.TEST, engine=each, seed=1, keep="outputs") for each in ("numpy", "onednn")
    )
    rng = np.random.default_rng(5)
    for _ in range(2):
        data = rng.standard_normal((2, 5, 6, 7), np.float32)
        assert_near(onednn.forward(data=data)["after"], numpy.forward(data=data)["after"], TOLERANCE)
        slopes = rng.standard_normal(numpy.params["prelu"][0].shape)
        for net in (numpy, onednn):
            net.params["prelu"][0].set_data(slopes)
    assert onednn.program.parts[2].run_by == "onednn"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_come_through(value: float) -> None:
    data = np.random.default_rng(5).standard_normal((2, 5, 6, 7), np.float32)
    data[1, 2, 3] = value
    results = [
        net_of_text(text('type: "Power"', "before"), Phase.TEST, engine=each, seed=1, keep="outputs").forward(data=data)
        for each in ("numpy", "onednn")
    ]
    np.testing.assert_allclose(results[1]["after"], results[0]["after"], rtol=1e-5)


def test_a_shared_slope_and_training_run_plain() -> None:
    shared = net_of_text(
        text(CONVOLUTION.format(16), "prelu", shared=True), Phase.TEST, engine="onednn", keep="outputs"
    )
    trained = net_of_text("force_backward: true" + text(CONVOLUTION.format(16), "prelu"), engine="onednn")
    notes = [next(step for step in net.program.parts if step.name == "prelu") for net in (shared, trained)]
    assert [step.run_by for step in notes] == ["plain", "plain"]
    assert "only ref" in notes[0].note
    assert "its gradients" in notes[1].note


@pytest.mark.parametrize(
    ("before", "fused"), [(CONVOLUTION.format(20), True), (PRODUCT.format(20), True), ('type: "Power"', False)]
)
def test_it_becomes_part_of_a_product_before_it(before: str, fused: bool) -> None:
    net, reference = (
        net_of_text(text(before, "before"), Phase.TEST, engine=each, seed=1, keep="outputs")
        for each in ("onednn", "numpy")
    )
    notes = {step.name: step.note for step in net.program.steps}
    assert ("fused PReLU" in notes.get("before+prelu", "")) is fused
    for value in (1.0, np.nan, np.inf, -np.inf):
        data = np.random.default_rng(5).standard_normal((2, 5, 6, 7), np.float32)
        data[1, 2, 3] = value
        with np.errstate(invalid="ignore"):
            found, expected = (each.forward(data=data)["after"] for each in (net, reference))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_winograds_algorithm_goes_before_a_fused_prelu() -> None:
    convolution = CONVOLUTION.format(64).replace("3 weight", "3 pad: 1 weight")
    wide = text(convolution, "before").replace("dim: 5 dim: 6 dim: 7", "dim: 64 dim: 28 dim: 28")
    net, reference = (
        net_of_text(wide, Phase.TEST, engine=each, seed=1, keep="outputs") for each in ("onednn", "numpy")
    )
    assert {step.name: step.note for step in net.program.steps}["before"] == "Winograd"
    data = np.random.default_rng(5).standard_normal((2, 64, 28, 28), np.float32)
    assert_near(net.forward(data=data)["after"], reference.forward(data=data)["after"], TOLERANCE)
