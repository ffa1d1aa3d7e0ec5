"""Every routine on every conformance case of its layer: it matches NumPy, or says why the layer runs plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import Case, labels, plugin_suite, run_layer
from cafx.conformance.harness import SUBJECT, Trial
from cafx.conformance.nets import assert_all_near, assert_near, feed, net_of_text, param_gradients, record_calls
from cafx.kernel import registry
from cafx_engine_onednn import OneDNN
from cafx_engine_onednn.routine import Accelerated

TestBias = plugin_suite("engine.onednn", "Bias")
TestDropout = plugin_suite("engine.onednn", "Dropout")
TestLRN = plugin_suite("engine.onednn", "LRN")
TestReLU = plugin_suite("engine.onednn", "ReLU")
TestScale = plugin_suite("engine.onednn", "Scale")

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 1e-4
"""Relative to the largest value: float32 sums in a different order, functions with different rounding."""

TYPES = [
    plugin.name
    for plugin in registry().plugins("engine.onednn")
    if plugin.distribution == "cafx-engine-onednn" and plugin.name in registry().names("layer")
]
"""The types of the engine's own routines; those that other distributions bring are tested there."""
FILL = {"weight_filler": {"type": "gaussian", "std": 0.5}, "bias_filler": {"type": "gaussian", "std": 0.5}}
ACTIVATIONS = ("AbsVal", "BNLL", "Clip", "ELU", "Power", "Sigmoid", "Swish", "TanH")
AFFINE = ("Bias", "Scale")
RECURRENT = [
    Case("panels", (3, 7, 20), labels((3, 7), 2), options={"num_output": 80, **FILL}),
    Case("uneven", (2, 20, 6), labels((2, 20), 2), (20, 3), options={"num_output": 21, **FILL}),
]
PLANES = [
    Case("given_planes", (2, 3, 4, 5), (2, 3), options={"axis": 0}),
    Case("given_blocks", (2, 32, 3, 5), (2, 32), options={"axis": 0}),
]
EXTRA = {
    "BatchNorm": [
        Case("blocks", (2, 32, 5, 6)),
        Case("channels_20", (3, 20, 4, 4)),
        Case("exact", (3, 4, 5, 5), options={"eps": 0.0}),
    ],
    "Concat": [Case("blocks", (2, 16, 3, 4), (2, 32, 3, 4)), Case("uneven", (2, 16, 3, 4), (2, 5, 3, 4))],
    "Convolution": [
        Case("blocks", (1, 32, 7, 6), options={"num_output": 48, "kernel_size": [3], "group": 2, **FILL}),
        Case("grouped", (2, 24, 5, 3), options={"num_output": 18, "kernel_size": [1], "group": 3, **FILL}),
        Case("grouped_blocks", (1, 32, 4, 4), options={"num_output": 64, "kernel_size": [1], "group": 2, **FILL}),
        Case("dilated", (3, 20, 9, 8), options={"num_output": 24, "kernel_size": [3], "dilation": [2], **FILL}),
    ],
    "Deconvolution": [
        Case("enlarging", (2, 32, 5, 4), options={"num_output": 16, "kernel_size": [4], "stride": [2], **FILL}),
        Case("uneven", (2, 6, 5, 4), options={"num_output": 21, "kernel_size": [4], "stride": [2], "pad": [1], **FILL}),
        Case("each", (2, 21, 3, 4), options={"num_output": 21, "group": 21, "kernel_size": [4], "stride": [2], **FILL}),
        Case("far", (2, 5, 2, 3), options={"num_output": 6, "kernel_size": [24], "stride": [16], **FILL}),
    ],
    "LRN": [Case("blocks", (2, 32, 5, 6), options={"local_size": 5, "alpha": 0.3, "beta": 0.75})],
    "LSTM": RECURRENT,
    "Power": [
        Case("plain_square", (3, 20), options={"power": 2}),
        Case("steep_square", (3, 20), options={"power": 2, "scale": 3}),
    ],
    "Pooling": [Case("blocks", (2, 32, 7, 8), options={"kernel_size": 3, "stride": 2})],
    "RNN": RECURRENT,
    "Bias": PLANES,
    "Scale": PLANES,
}
"""More cases than the layers' own: enough channels to fill blocks, options that decide which primitive runs."""
PLAIN = {
    "eps 0": ["BatchNorm-exact"],
    "its operand is a bottom": [
        *(f"{name}-{case}" for name in AFFINE for case in ("given", "given_last", "given_scalar")),
        "Bias-given_planes",
        "Bias-given_blocks",
    ],
    "row-major memory": [f"{name}-channels" for name in AFFINE] + ["Scale-started_at_one"],
    "not one factor per channel": [f"{name}-{case}" for name in AFFINE for case in ("last_two", "all", "scalar")],
    "one bottom shares its memory": ["Concat-one_bottom"],
    "several bottoms": ["Convolution-two", "Deconvolution-two"],
    "0 spatial axes": ["Convolution-no_space"],
    "draws in TRAIN phase": [f"Dropout-{case}" for case in ("plain", "some", "none", "all")],
    "not in place": ["Dropout-tested-separate"],
    "a negative alpha": ["ELU-falling"],
    "a slope below 0 in place": ["ReLU-falling-in_place"],
    "only SUM": [f"Eltwise-{case}" for case in ("product", "product_of_three", "quotient", "maximum")],
    "transposed weights": ["InnerProduct-transposed"],
    "only ref:any": [*(f"LRN-{case}" for case in ("other_power", "within", "small_plane")), "Softmax-images"],
    "a mask as second top": ["Pooling-mask", "Pooling-whole"],
    "whose last window extends": ["Pooling-ave", "Pooling-ave_pairs"],
    "STOCHASTIC": ["Pooling-expected", "Pooling-drawn"],
    "neither linear nor a plain square": [
        f"Power-{case}" for case in ("square", "cube", "root", "inverse", "one", "constant", "steep_square")
    ],
    "its gradients": [f"PReLU-{case}" for case in ("plain", "gaussian", "shared", "five_axes")],
    "its gradient in place": [
        *(f"Power-{case}-in_place" for case in ("identity", "linear", "plain_square")),
        *(f"Scale-{case}-in_place" for case in ("given_planes", "given_blocks")),
        *(f"Swish-{case}-in_place" for case in ("plain", "steep", "falling", "half")),
    ],
}
"""Cases that run plain, by a phrase of the step's note."""


def reason(name: str, case: Case, in_place: bool) -> str | None:
    """Why a case runs plain; None if a routine runs it."""
    keys = {f"{name}-{case.name}", f"{name}-{case.name}-{'in_place' if in_place else 'separate'}"}
    return next((why for why, plain_cases in PLAIN.items() if keys & set(plain_cases)), None)


def cases() -> list[Any]:
    params = []
    for name in TYPES:
        layer = registry().load("layer", name)
        for case in (*layer.cases(), *EXTRA.get(name, ())):
            choices = (False, True) if layer.in_place and case.tops == 1 else (False,)
            params += [pytest.param(name, case, p, id=f"{name}-{case.name}{'-in_place' * p}") for p in choices]
    return params


def two_passes(trial: Trial) -> list[np.ndarray]:
    """The results of the second of two passes, which must not depend on the first."""
    for _ in range(2):
        trial.rewind()
        results = [*trial.forward(), *trial.backward(), *trial.param_diffs]
    return results


class Directions:
    """The directions in which the routine of the layer under test has run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls = record_calls(monkeypatch, Accelerated)

    def __call__(self) -> set[str]:
        return {call.direction for call in self._calls if call.layer == SUBJECT}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Directions:
    return Directions(monkeypatch)


@pytest.mark.parametrize(("name", "case", "in_place"), cases())
def test_a_routine_matches_numpy(name: str, case: Case, in_place: bool, called: Directions) -> None:
    trial = Trial(name, case, engine="onednn", in_place=in_place)
    expected = two_passes(Trial(name, case, in_place=in_place))
    for result, values in zip(two_passes(trial), expected, strict=True):
        assert_near(result, values, TOLERANCE)
    step, why = trial.net.program.parts[-1], reason(name, case, in_place)
    if why:
        assert (step.run_by, why in step.note, called()) == ("plain", True, set()), step.note
    else:
        assert (step.run_by, called()) == ("onednn", {"forward", "backward"}), step.note


@pytest.mark.parametrize(
    ("type_name", "case", "reason"),
    [
        ("Pooling", Case("mask", (2, 3, 6, 6), options={"kernel_size": 2}, tops=2), "mask"),
        ("Pooling", Case("drawn", (2, 3, 6, 6), options={"kernel_size": 2, "pool": "STOCHASTIC"}), "STOCHASTIC"),
        ("Eltwise", Case("product", (2, 3), (2, 3), options={"operation": "PROD"}), "only SUM"),
        ("Dropout", Case("drawn", (2, 3)), "draws"),
        ("Convolution", Case("empty", (0, 3, 5, 5), options={"num_output": 2, "kernel_size": [3]}), "empty"),
        ("InnerProduct", Case("transposed", (2, 3), options={"num_output": 2, "transpose": True}), "transposed"),
    ],
)
def test_unsupported_layers_run_plain_and_say_why(type_name: str, case: Case, reason: str) -> None:
    step = Trial(type_name, case, engine="onednn").net.program.parts[-1]
    assert step.run_by == "plain"
    assert reason in step.note


EXTREMES = [0, 1e-30, 1e-7, 1e-4, 0.3, 1, 2, 5, 9, 17, 50, 88, 104, 1e9, 1e30, np.inf]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_match_numpy_on_extreme_values(name: str) -> None:
    """Within a few rounding errors, including kinks and bounds; gradients only where Caffe's are finite."""
    x = np.array([sign * value for value in EXTREMES for sign in (1, -1)], np.float32)
    options = {"min": -2, "max": 2} if name == "Clip" else {}
    with np.errstate(all="ignore"):
        result, expected = (
            run_layer(name, [x], options=options, top_diffs=[np.full_like(x, 1.5)], engine=engine)
            for engine in ("onednn", "numpy")
        )
    assert result.net.program.parts[-1].run_by == "onednn"
    np.testing.assert_allclose(result.tops[0], expected.tops[0], rtol=3e-6, atol=1e-6)
    gradient, expected_gradient = result.bottom_diffs[0], expected.bottom_diffs[0]
    exact = np.isfinite(expected_gradient) & (np.abs(x) < 1e7 if name == "Swish" else True)
    np.testing.assert_allclose(gradient[exact], expected_gradient[exact], rtol=3e-6, atol=1e-6)


SURROUNDED = """force_backward: true
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: {inputs} dim: 6 dim: 6 }} }} }}
layer {{ name: "one" type: "Convolution" bottom: "data" top: "one" convolution_param {{
  num_output: {channels} kernel_size: 3 weight_filler {{ type: "gaussian" std: 0.02 }}
  bias_filler {{ type: "constant" value: 0.7 }} }} }}
layer {{ name: "subject" type: "{type}" bottom: "one" top: "{top}" {options} }}
{after}
layer {{ name: "pool" type: "Pooling" bottom: "{top}" top: "pool" pooling_param {{ kernel_size: 2 }} }}
layer {{ name: "two" type: "Convolution" bottom: "pool" top: "two" convolution_param {{
  num_output: 32 kernel_size: 3 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "loss" type: "Reduction" bottom: "two" top: "loss" loss_weight: 1
  reduction_param {{ operation: SUMSQ }} }}
"""
FILLER = 'filler { type: "gaussian" std: 0.5 }'
OPTIONS = {
    "Clip": ["clip_param { min: 0.5 max: 1 }"],
    "Power": ["power_param { scale: 2 shift: 1 }"],
    "Bias": [f"bias_param {{ {FILLER} }}"],
    "Scale": [
        f"scale_param {{ {FILLER} }}",
        f"scale_param {{ {FILLER} bias_term: true bias_{FILLER} }}",
        f"scale_param {{ {FILLER} bias_term: true bias_{FILLER} }} param {{ lr_mult: 0 }} param {{ lr_mult: 1 }}",
        f"scale_param {{ {FILLER} bias_term: true bias_{FILLER} }} param {{ lr_mult: 1 }} param {{ lr_mult: 0 }}",
    ],
}
RELU = 'layer {{ name: "after" type: "ReLU" bottom: "{0}" top: "{0}" }}'
IN_PLACE = ("BNLL", "Bias", "Clip", "ELU", "Scale", "Sigmoid", "TanH")


def surrounded() -> list[Any]:
    return [
        pytest.param(name, in_place, options, after, id=f"{name}{index}{'-in_place' * in_place}{'-relu' * bool(after)}")
        for name in (*ACTIVATIONS, *AFFINE)
        for in_place in (False, True)
        if not in_place or name in IN_PLACE
        for index, options in enumerate(OPTIONS.get(name, [""]))
        for after in (("", RELU) if name in AFFINE else ("",))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "channels"), [(16, 32), (16, 20), (3, 20), (3, 4)])
@pytest.mark.parametrize(("name", "in_place", "options", "after"), surrounded())
def test_routines_keep_the_blocked_layout_of_their_neighbours(
    name: str, in_place: bool, options: str, after: str, inputs: int, channels: int, called: Directions
) -> None:
    top = "one" if in_place else "u"
    fields = {"inputs": inputs, "channels": channels, "top": top, "options": options, "after": after.format(top)}
    text = SURROUNDED.format(type=name, **fields)
    (expected, _), (results, reorders) = accumulated(text, "numpy"), accumulated(text, "onednn")
    copies = in_place and name in AFFINE  # of values that are overwritten but needed by the backward pass
    partial = 2 * (inputs == 3)  # partly filled blocks: another layout for functions with f(0) != 0, or the convolution
    assert reorders <= copies + partial
    assert called() == {"forward", "backward"}
    assert_all_near(results, expected, 2 * TOLERANCE)


LEARNED = [f"param {{ lr_mult: {weights} }} param {{ lr_mult: {bias} }}" for weights in (0, 1) for bias in (0, 1)]


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("params", LEARNED)
def test_a_deconvolution_computes_the_gradients_of_unfrozen_parameters(
    params: str, group: int, called: Directions
) -> None:
    options = f"""{params} convolution_param {{ num_output: 16 kernel_size: 4 stride: 2 group: {group}
      weight_filler {{ type: "gaussian" std: 0.5 }} bias_filler {{ type: "constant" value: 0.3 }} }}"""
    text = SURROUNDED.format(
        type="Deconvolution", inputs=16, channels=20, top="u", options=options, after=RELU.format("u")
    )
    assert_all_near(accumulated(text, "onednn")[0], accumulated(text, "numpy")[0], 2 * TOLERANCE)
    assert called() == {"forward", "backward"}


def accumulated(text: str, engine: str) -> tuple[dict[str, np.ndarray], int]:
    """Results of two passes that add up parameter gradients, and the reorders in the second forward pass."""
    net = net_of_text(text, engine=engine, seed=1)
    feed(net)
    for _ in range(2):
        before = net.engine.conversions()[0]
        net.run_forward(end="two")
        reorders = net.engine.conversions()[0] - before
        net.run_forward(start="loss")
        net.run_backward()
    results = {"two": net.blobs["two"].host(), "data": net.blobs["data"].host_diff()}
    return param_gradients(net) | results, reorders
