"""oneDNN routines match Caffe on every golden case; layers run plain only for the reasons listed here."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from cafx.conformance.golden import LayerCase
from cafx.conformance.nets import Call, record_calls
from cafx.kernel import registry

PLAIN = {
    "its operand is a bottom": [
        "Bias_*_two_*",
        "Scale_*_two_[bdlm]*",
        "Scale_*_two",
        "Bias_*_two",
        "FuzzScaleBias_*_two",
    ],
    "not one factor per channel": [
        "Bias_0*_param_*",
        "Scale_0*_param_*",
        "Scale_15_bias_term_axis0_all",
        "FuzzScaleBias_0[17]_bias_param",
    ],
    "row-major memory": [
        "FuzzScaleBias_09_bias_param",
        "Bias_00_param",
        "Bias_12_inplace_param",
        "Scale_00_param",
        "Scale_12_inplace_param",
        "Scale_16_bias_term_inplace",
    ],
    "spatial axes behind axis 2": ["Convolution_*_axis_neg3"],
    "several bottoms": ["Convolution_*_multi_bottom", "Deconvolution_*_multi_bottom"],
    "one bottom shares its memory": ["Concat_*_one_bottom"],
    "not in place": ["Dropout_*_test"],
    "draws in TRAIN phase": ["Dropout_*_train*"],
    "only SUM": [
        "Eltwise_*_prod*",
        "Eltwise_*_max*",
        "Eltwise_11_same_bottom",
        "FuzzEltwise_*_prod*",
        "FuzzEltwise_*_max*",
        "Parameter_00_basic",
    ],
    "transposed weights": [
        "FuzzInnerProduct_01_nd3",
        "FuzzInnerProduct_02_nd2",
        "FuzzInnerProduct_05_nd4",
        "InnerProduct_*_transpose*",
    ],
    "a region of 1": ["LRN_*_size1"],
    "only ref:any": [
        "FuzzLRN_*_within",
        "FuzzLRN_04_across",
        "LRN_*_within_default",
        "LRN_*_size[37]*",
        "Softmax_01_4d",
    ],
    "gradient across more than 5 channels": ["FuzzLRN_0[02]_across"],
    "neither linear nor a plain square": [
        "FuzzNeuron_03_power",
        "Power_03_p0",
        "Power_*_sqrt",
        "Power_*_inv",
        "Power_08_p037",
        "Power_11_large",
    ],
    "whose last window extends": ["Pooling_07_ave_pad"],
    "its gradient in place": ["Power_10_inplace_linear", "Swish_*_inplace*"],
    "a mask as second top": ["Pooling_*_mask_*"],
    "its gradients": ["FuzzNeuron_08_prelu", "PReLU_*", "Net_16_deep_conv_bn_test"],
}
"""Cases with a layer that runs plain, by a phrase of the step's note."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> set[Call]:
    """The calls of the engine's routines."""
    routine = pytest.importorskip("cafx_engine_onednn.routine")
    if registry().load("engine", "onednn").unavailable():
        pytest.skip("no oneDNN here")
    return record_calls(monkeypatch, routine.Accelerated)


@pytest.mark.slow
@pytest.mark.shared_files("golden/layers/*.npz")
def test_routines_match_caffe(shared_file: Path, calls: set[Call]) -> None:
    case, types = LayerCase(shared_file), set(registry().names("engine.onednn"))
    if not case.types & types:
        pytest.skip("no routine for its layers")
    assert case.replay(engine="onednn") == []
    steps = case.net.program.steps
    plain = {step.note for step in steps if step.layers[0].layer.type in types and step.run_by == "plain"}
    expected = {why for why, names in PLAIN.items() if any(fnmatch(shared_file.stem, name) for name in names)}
    assert expected == {why for why in PLAIN for note in plain if why in note}
    assert len(plain) == len(expected), plain
    accelerated = [step for step in steps if step.run_by == "onednn"]
    forward = {step.layers[0].layer.name for step in accelerated}
    backward = {step.layers[0].layer.name for step in accelerated if step.needs_backward}
    assert {call.layer for call in calls if call.direction == "forward"} == forward
    assert {call.layer for call in calls if call.direction == "backward"} == (
        backward if int(case.values["meta/backward"]) else set()
    )
