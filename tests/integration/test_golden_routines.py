"""Every golden layer case by the fast engine's routines: each really called, or plain for a reason known here."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from cafx.conformance.golden import LayerCase
from cafx.kernel import registry

PLAIN = {
    "its operand is a bottom": ["Bias_*_two_*", "Scale_*_two_*", "Scale_*_two", "Bias_*_two", "FuzzScaleBias_*_two"],
    "not one factor per channel": ["Bias_0*_param_*", "Scale_0*_param_*", "Scale_15_bias_term_axis0_all",
                                 "FuzzScaleBias_0[17]_bias_param"],
    "row-major memory": ["FuzzScaleBias_09_bias_param",
                         "Bias_00_param", "Bias_12_inplace_param", "Scale_00_param", "Scale_12_inplace_param",
                         "Scale_16_bias_term_inplace"],
    "spatial axes behind axis 2": ["Convolution_*_axis_neg3"],
    "several bottoms": ["Convolution_*_multi_bottom", "Deconvolution_*_multi_bottom"],
    "one bottom shares its memory": ["Concat_*_one_bottom"],
    "not in place": ["Dropout_*_test"],
    "draws in TRAIN phase": ["Dropout_*_train*"],
    "only SUM": ["Eltwise_*_prod*", "Eltwise_*_max*", "Eltwise_11_same_bottom", "FuzzEltwise_*_prod*",
                 "FuzzEltwise_*_max*", "Parameter_00_basic"],
    "transposed weights": ["FuzzInnerProduct_01_nd3", "FuzzInnerProduct_02_nd2", "FuzzInnerProduct_05_nd4",
                           "InnerProduct_*_transpose*"],
    "only ref:any": ["FuzzLRN*", "LRN*", "Net_16_deep_conv_bn_test", "Softmax_01_4d"],
    "neither linear nor a plain square": ["FuzzNeuron_03_power", "Power_03_p0", "Power_*_sqrt", "Power_*_inv",
                                          "Power_08_p037", "Power_11_large"],
    "whose last window extends": ["Pooling_07_ave_pad"],
    "its gradient in place": ["Power_10_inplace_linear", "Swish_*_inplace*"],
    "a mask as second top": ["Pooling_*_mask_*"],
}  # fmt: skip
"""What the note of a layer says that runs plain, and the cases it is in."""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The names of the layers whose routines have been called, and which way."""
    routine = pytest.importorskip("cafx_engine_onednn.routine")
    if registry().load("engine", "onednn").unavailable():
        pytest.skip("no oneDNN here")
    found: set[tuple[str, str]] = set()
    for way in ("forward", "backward"):
        plain = getattr(routine.Accelerated, way)

        def spied(self: Any, plain: Any = plain, way: str = way) -> None:
            found.add((self.layer.name, way))
            plain(self)

        monkeypatch.setattr(routine.Accelerated, way, spied)
    return found


@pytest.mark.shared_files("golden/layers/*.npz")
def test_it_does_what_caffe_did(shared_file: Path, called: set[tuple[str, str]]) -> None:
    case, types = LayerCase(shared_file), set(registry().names("engine.onednn"))
    if not case.types & types:
        pytest.skip("no routine for its layers")
    assert case.replay(engine="onednn") == []
    steps = case.net.program.steps
    plain = {step.note for step in steps if step.layers[0].layer.type in types and step.run_by == "plain"}
    expected = {why for why, names in PLAIN.items() if any(fnmatch(shared_file.stem, name) for name in names)}
    assert expected == {why for why in PLAIN for note in plain if why in note}
    assert len(plain) == len(expected), plain
    fast = [step for step in steps if step.run_by == "onednn"]
    back = [step.name for step in fast if step.needs_backward] if int(case.values["meta/backward"]) else []
    assert called == {(step.name, "forward") for step in fast} | {(name, "backward") for name in back}
