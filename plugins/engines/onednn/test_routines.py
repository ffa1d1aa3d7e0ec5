"""Each routine on every conformance case of its layer: really called, with numpy's results; or plain, saying why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import Case, run_layer
from cafx.conformance.harness import SUBJECT, Trial
from cafx.kernel import Net, Phase, registry, schema
from cafx_engine_onednn import OneDNN
from cafx_engine_onednn.routine import Accelerated

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 1e-4
"""Of the largest value: float32 sums in another order, functions rounded in another way."""

TYPES = [name for name in registry().names("engine.onednn") if name in registry().names("layer")]
FILL = {"weight_filler": {"type": "gaussian", "std": 0.5}, "bias_filler": {"type": "gaussian", "std": 0.5}}
UNITS = ("AbsVal", "BNLL", "Clip", "ELU", "Power", "Sigmoid", "Swish", "TanH")
AFFINE = ("Bias", "Scale")
EXTRA = {
    "BatchNorm": [
        Case("blocks", (2, 32, 5, 6)),
        Case("channels_20", (3, 20, 4, 4)),
        Case("exact", (3, 4, 5, 5), options={"eps": 0.0}),
    ],
    "Concat": [Case("blocks", (2, 16, 3, 4), (2, 32, 3, 4)), Case("uneven", (2, 16, 3, 4), (2, 5, 3, 4))],
    "Convolution": [
        Case("blocks", (1, 32, 7, 6), options={"num_output": 48, "kernel_size": [3], "group": 2, **FILL}),
        Case("dilated", (3, 20, 9, 8), options={"num_output": 24, "kernel_size": [3], "dilation": [2], **FILL}),
    ],
    "Deconvolution": [
        Case("enlarging", (2, 32, 5, 4), options={"num_output": 16, "kernel_size": [4], "stride": [2], **FILL}),
        Case("uneven", (2, 6, 5, 4), options={"num_output": 21, "kernel_size": [4], "stride": [2], "pad": [1], **FILL}),
        Case("each", (2, 21, 3, 4), options={"num_output": 21, "group": 21, "kernel_size": [4], "stride": [2], **FILL}),
        Case("far", (2, 5, 2, 3), options={"num_output": 6, "kernel_size": [24], "stride": [16], **FILL}),
    ],
    "LRN": [Case("blocks", (2, 32, 5, 6), options={"local_size": 5, "alpha": 0.3, "beta": 0.75})],
    "Power": [
        Case("plain_square", (3, 20), options={"power": 2}),
        Case("steep_square", (3, 20), options={"power": 2, "scale": 3}),
    ],
    "Pooling": [Case("blocks", (2, 32, 7, 8), options={"kernel_size": 3, "stride": 2})],
}
"""Cases besides the layers' own: channels enough to fill blocks, options that decide about primitives."""
PLAIN = {
    "eps 0": ["BatchNorm-exact"],
    "its operand is a bottom": [
        f"{name}-{case}" for name in AFFINE for case in ("given", "given_last", "given_scalar")
    ],
    "row-major memory": [f"{name}-channels" for name in AFFINE] + ["Scale-started_at_one"],
    "not one factor per channel": [f"{name}-{case}" for name in AFFINE for case in ("last_two", "all", "scalar")],
    "one bottom shares its memory": ["Concat-one_bottom"],
    "several bottoms": ["Convolution-two", "Deconvolution-two"],
    "0 spatial axes": ["Convolution-no_space"],
    "draws in TRAIN phase": [f"Dropout-{case}" for case in ("plain", "some", "none", "all")],
    "not in place": ["Dropout-tested-apart"],
    "a negative alpha": ["ELU-falling"],
    "only SUM": [f"Eltwise-{case}" for case in ("product", "product_of_three", "quotient", "maximum")],
    "transposed weights": ["InnerProduct-transposed"],
    "only ref:any": [
        *(f"LRN-{case}" for case in ("across", "default", "other_power", "within", "small_plane")),
        "Softmax-images",
    ],
    "a mask as second top": ["Pooling-mask", "Pooling-whole"],
    "whose last window extends": ["Pooling-ave", "Pooling-ave_pairs"],
    "STOCHASTIC": ["Pooling-expected", "Pooling-drawn"],
    "neither linear nor a plain square": [
        f"Power-{case}" for case in ("square", "cube", "root", "inverse", "one", "constant", "steep_square")
    ],
    "its gradient in place": [
        *(f"Power-{case}-in_place" for case in ("identity", "linear", "plain_square")),
        *(f"Swish-{case}-in_place" for case in ("plain", "steep", "falling", "half")),
    ],
}
"""What the note says, and the cases, by layer and name, that run plain for that reason."""


def reason(name: str, case: Case, in_place: bool) -> str | None:
    """Why a case is to run plain; None where it is not."""
    keys = {f"{name}-{case.name}", f"{name}-{case.name}-{'in_place' if in_place else 'apart'}"}
    return next((why for why, held in PLAIN.items() if keys & set(held)), None)


def cases() -> list[Any]:
    found = []
    for name in TYPES:
        layer = registry().load("layer", name)
        for case in (*layer.cases(), *EXTRA.get(name, ())):
            places = (False, True) if layer.in_place and case.tops == 1 else (False,)
            found += [pytest.param(name, case, p, id=f"{name}-{case.name}{'-in_place' * p}") for p in places]
    return found


def passes(trial: Trial) -> list[np.ndarray]:
    """Two passes, so that the second adds to nothing left behind."""
    for _ in range(2):
        trial.rewind()
        found = [*trial.forward(), *trial.backward(), *trial.param_diffs]
    return found


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which ways the routine of the layer at test has been called."""
    found: set[str] = set()
    for way in ("forward", "backward"):
        plain = getattr(Accelerated, way)

        def spied(self: Accelerated, plain: Any = plain, way: str = way) -> None:
            if self.layer.name == SUBJECT:
                found.add(way)
            plain(self)

        monkeypatch.setattr(Accelerated, way, spied)
    return found


@pytest.mark.parametrize(("name", "case", "in_place"), cases())
def test_it_does_what_numpy_does(name: str, case: Case, in_place: bool, called: set[str]) -> None:
    trial = Trial(name, case, engine="onednn", in_place=in_place)
    expected = passes(Trial(name, case, in_place=in_place))
    for one, two in zip(passes(trial), expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=TOLERANCE * np.abs(two).max(initial=1e-2))
    step, why = trial.net.program.parts[-1], reason(name, case, in_place)
    if why:
        assert (step.run_by, why in step.note, called) == ("plain", True, set()), step.note
    else:
        assert (step.run_by, called) == ("onednn", {"forward", "backward"}), step.note


EXTREMES = [0, 1e-30, 1e-7, 1e-4, 0.3, 1, 2, 5, 9, 17, 50, 88, 104, 1e9, 1e30, np.inf]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_of_small_large_and_infinite_values(name: str) -> None:
    """Within a few roundings, kinks and bounds included; the gradient where Caffe's is a number too."""
    x = np.array([sign * value for value in EXTREMES for sign in (1, -1)], np.float32)
    options = {"min": -2, "max": 2} if name == "Clip" else {}
    with np.errstate(all="ignore"):
        one, two = (
            run_layer(name, [x], options=options, top_diffs=[np.full_like(x, 1.5)], engine=engine)
            for engine in ("onednn", "numpy")
        )
    assert one.net.program.parts[-1].run_by == "onednn"
    np.testing.assert_allclose(one.tops[0], two.tops[0], rtol=3e-6, atol=1e-6)
    exact = np.isfinite(two.bottom_diffs[0]) & (np.abs(x) < 1e7 if name == "Swish" else True)
    np.testing.assert_allclose(one.bottom_diffs[0][exact], two.bottom_diffs[0][exact], rtol=3e-6, atol=1e-6)


AROUND = """force_backward: true
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: {inputs} dim: 6 dim: 6 }} }} }}
layer {{ name: "one" type: "Convolution" bottom: "data" top: "one" convolution_param {{
  num_output: {channels} kernel_size: 3 weight_filler {{ type: "gaussian" std: 0.02 }}
  bias_filler {{ type: "constant" value: 0.7 }} }} }}
layer {{ name: "subject" type: "{type}" bottom: "one" top: "{top}" {options} }}
{behind}
layer {{ name: "pool" type: "Pooling" bottom: "{top}" top: "pool" pooling_param {{ kernel_size: 2 }} }}
layer {{ name: "two" type: "Convolution" bottom: "pool" top: "two" convolution_param {{
  num_output: 32 kernel_size: 3 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "loss" type: "Reduction" bottom: "two" top: "loss" loss_weight: 1
  reduction_param {{ operation: SUMSQ }} }}
"""
DRAWN = 'filler { type: "gaussian" std: 0.5 }'
OPTIONS = {
    "Clip": ["clip_param { min: 0.5 max: 1 }"],
    "Power": ["power_param { scale: 2 shift: 1 }"],
    "Bias": [f"bias_param {{ {DRAWN} }}"],
    "Scale": [
        f"scale_param {{ {DRAWN} }}",
        f"scale_param {{ {DRAWN} bias_term: true bias_{DRAWN} }}",
        f"scale_param {{ {DRAWN} bias_term: true bias_{DRAWN} }} param {{ lr_mult: 0 }} param {{ lr_mult: 1 }}",
        f"scale_param {{ {DRAWN} bias_term: true bias_{DRAWN} }} param {{ lr_mult: 1 }} param {{ lr_mult: 0 }}",
    ],
}
UNIT = 'layer {{ name: "behind" type: "ReLU" bottom: "{0}" top: "{0}" }}'
IN_PLACE = ("BNLL", "Bias", "Clip", "ELU", "Scale", "Sigmoid", "TanH")


def around() -> list[Any]:
    return [
        pytest.param(
            name, in_place, options, behind, id=f"{name}{index}{'-in_place' * in_place}{'-unit' * bool(behind)}"
        )
        for name in (*UNITS, *AFFINE)
        for in_place in (False, True)
        if not in_place or name in IN_PLACE
        for index, options in enumerate(OPTIONS.get(name, [""]))
        for behind in (("", UNIT) if name in AFFINE else ("",))
    ]


@pytest.mark.parametrize(("inputs", "channels"), [(16, 32), (16, 20), (3, 20), (3, 4)])
@pytest.mark.parametrize(("name", "in_place", "options", "behind"), around())
def test_it_passes_blocked_memory_along(
    name: str, in_place: bool, options: str, behind: str, inputs: int, channels: int, called: set[str]
) -> None:
    """Two passes, gradients of the second added to those of the first."""
    top = "one" if in_place else "u"
    stated = {"inputs": inputs, "channels": channels, "top": top, "options": options, "behind": behind.format(top)}
    text = AROUND.format(type=name, **stated)
    (expected, _), (found, made) = passed(text, "numpy"), passed(text, "onednn")
    copies = in_place and name in AFFINE  # of the values it overwrites and needs on the way back
    turned = 2 * (inputs == 3)  # blocks not filled: another layout for what is not 0 at 0, or for the convolution
    assert made <= copies + turned, "no change of layout on the way"
    assert called == {"forward", "backward"}
    check(found, expected)


LEARNED = [f"param {{ lr_mult: {weights} }} param {{ lr_mult: {bias} }}" for weights in (0, 1) for bias in (0, 1)]


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("params", LEARNED)
def test_a_deconvolution_learns_what_it_is_to(params: str, group: int, called: set[str]) -> None:
    options = f"""{params} convolution_param {{ num_output: 16 kernel_size: 4 stride: 2 group: {group}
      weight_filler {{ type: "gaussian" std: 0.5 }} bias_filler {{ type: "constant" value: 0.3 }} }}"""
    text = AROUND.format(
        type="Deconvolution", inputs=16, channels=20, top="u", options=options, behind=UNIT.format("u")
    )
    check(passed(text, "onednn")[0], passed(text, "numpy")[0])
    assert called == {"forward", "backward"}


def passed(text: str, engine: str) -> tuple[dict[str, np.ndarray], int]:
    """What two passes leave, gradients added up, and how often a layout changed in the second on its way forward."""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine=engine, seed=1)
    net.blobs["data"].set_data(np.random.default_rng(0).standard_normal(net.blobs["data"].shape, np.float32))
    for _ in range(2):
        before = changes(net)
        net.run_forward(end="two")
        made = changes(net) - before
        net.run_forward(start="loss")
        net.run_backward()
    params = {f"{key}.{i}": blob.host_diff() for key, blobs in net.params.items() for i, blob in enumerate(blobs)}
    return params | {"two": net.blobs["two"].host(), "data": net.blobs["data"].host_diff()}, made


def changes(net: Net) -> int:
    """How many changes of layout there have been."""
    count: int = net.engine.conversions()[0]
    return count


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for key, values in expected.items():
        allowed = 2 * TOLERANCE * np.abs(values).max()
        np.testing.assert_allclose(found[key], values, rtol=0, atol=allowed, err_msg=key)
