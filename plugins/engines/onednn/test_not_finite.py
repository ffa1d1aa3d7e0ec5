"""NaN, infinities and huge values in routines and fused steps: what is not finite is the same as on numpy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from cafx.conformance import Case
from cafx.conformance.checks_not_finite import VALUES, Expected, reference, require_same
from cafx.conformance.harness import Trial
from cafx.conformance.nets import feed, net_of_text, param_gradients
from cafx.conformance.suite import Subject
from cafx.kernel import Net, Phase
from cafx_engine_onednn import OneDNN, exact, native

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")

FILLERS = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "constant" value: 0.1 }'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }'
LEAKY = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: 0.1 } }'
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" }'
NORM_APART = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "z" }'
RUNNING = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" batch_norm_param { use_global_stats: true } }'
SCALE = """layer { name: "scale" type: "Scale" bottom: "y" top: "y"
  scale_param { bias_term: true filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 0.2 } } }"""
MAX = 'layer { name: "pool" type: "Pooling" bottom: "y" top: "z" pooling_param { kernel_size: 2 stride: 2 } }'
SUM = 'layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "other" top: "y" }'


def inputs(*shape: int, **others: tuple[int, ...]) -> str:
    return "force_backward: true " + " ".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {length}" for length in each)
        + " } } }"
        for name, each in {"x": shape, **others}.items()
    )


def convolution(channels: int, kernel: int, options: str = "") -> str:
    return f"""layer {{ name: "layer" type: "Convolution" bottom: "x" top: "y"
      convolution_param {{ num_output: {channels} kernel_size: {kernel} {options} {FILLERS} }} }}"""


def product(outputs: int) -> str:
    return f"""layer {{ name: "layer" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param {{ num_output: {outputs} {FILLERS} }} }}"""


CLIP = 'layer { name: "c" type: "Clip" bottom: "y" top: "y" clip_param { min: 0.1 max: 1 } }'
STEM = """layer { name: "stem" type: "Convolution" bottom: "x" top: "y" convolution_param {
  num_output: 32 kernel_size: 1 bias_term: false weight_filler { type: "gaussian" std: 0.2 } } }"""
NETS = {
    "image": (inputs(2, 3, 13, 13), convolution(32, 3, "stride: 2"), RELU),
    "image-pad": (inputs(2, 3, 13, 13), convolution(32, 3, "pad: 1"), RELU, MAX),
    "pointwise": (inputs(2, 32, 9, 9), convolution(48, 1), RELU),
    "blocks": (inputs(2, 32, 9, 9), convolution(32, 3, "stride: 2"), RELU),
    "leaky": (inputs(2, 32, 9, 9), convolution(32, 3, "stride: 2"), LEAKY),
    "uneven": (inputs(2, 20, 9, 9), convolution(12, 3), RELU),
    "groups": (inputs(2, 32, 9, 9), convolution(64, 3, "group: 2 stride: 2"), RELU),
    "pointwise-groups": (inputs(2, 24, 9, 9), convolution(36, 1, "group: 3"), RELU),
    "pointwise-groups-leaky": (inputs(2, 32, 9, 9), convolution(64, 1, "group: 2"), LEAKY),
    "norm-uneven": (inputs(2, 24, 9, 9), convolution(12, 1, "group: 3 bias_term: false"), NORM, SCALE, RELU),
    "depthwise": (inputs(2, 32, 9, 9), convolution(32, 3, "group: 32"), RELU),
    "pooled": (inputs(2, 32, 10, 10), convolution(32, 1), RELU, MAX),
    "product": (inputs(24, 40), product(33), RELU),
    "product-few": (inputs(3, 32), product(17), RELU),
    "product-leaky": (inputs(3, 32), product(17), LEAKY),
    "sum": (inputs(2, 32, 5, 5, other=(2, 32, 5, 5)), SUM, RELU),
    "sum-leaky": (inputs(2, 5, other=(2, 5)), SUM, LEAKY),
    "norm": (inputs(4, 32, 6, 6), NORM.replace('"y"', '"x"', 1), RELU),
    "norm-in_place": (inputs(4, 3, 6, 6), STEM, NORM, RELU),
    "norm-scale": (inputs(4, 3, 6, 6), STEM, NORM, SCALE, RELU),
    "norm-apart": (inputs(4, 3, 6, 6), STEM, NORM_APART, SCALE.replace('"y"', '"z"'), RELU.replace('"y"', '"z"')),
    "norm-running": (inputs(4, 3, 6, 6), STEM, RUNNING, SCALE, RELU),
    "norm-conv": (inputs(2, 32, 9, 9), convolution(32, 3, "stride: 2 bias_term: false"), NORM, SCALE, RELU),
    "residual": (
        inputs(2, 32, 9, 9),
        convolution(32, 1, "bias_term: false").replace('"layer"', '"side"').replace('"y"', '"other"'),
        convolution(32, 1, "bias_term: false"),
        NORM,
        SCALE,
        SUM.replace('"x"', '"y"').replace('top: "y"', 'top: "z"'),
        RELU.replace('"y"', '"z"'),
    ),
    "clip": (inputs(2, 3, 9, 9), STEM, CLIP),
    "lrn": (inputs(2, 32, 9, 9), convolution(32, 1), RELU, 'layer { name: "n" type: "LRN" bottom: "y" top: "z" }'),
    "winograd": (inputs(2, 32, 11, 11), convolution(32, 3), RELU),
    "winograd-five": (inputs(2, 32, 11, 11), convolution(16, 5), RELU),
    "winograd-linear": (inputs(2, 16, 11, 11), convolution(32, 3)),
    "winograd-leaky": (inputs(2, 16, 11, 11), convolution(32, 3), LEAKY),
    "winograd-pad": (inputs(2, 16, 11, 11), convolution(32, 3, "pad: 1"), RELU, MAX),
    "winograd-groups": (inputs(2, 32, 11, 11), convolution(32, 3, "group: 2"), RELU),
}

MODES = {"train": (Phase.TRAIN, "all"), "test": (Phase.TEST, "all"), "inference": (Phase.TEST, "outputs")}
ENOUGH = {"num_output": 32, "kernel_size": [3], "weight_filler": {"type": "gaussian"}}
EXTRA = {
    "BatchNorm": [Case("blocks", (2, 32, 5, 6)), Case("channels_20", (3, 20, 4, 4))],
    "Concat": [Case("blocks", (2, 16, 3, 4), (2, 32, 3, 4)), Case("uneven", (2, 16, 3, 4), (2, 5, 3, 4))],
    "Convolution": [Case("dilated", (3, 20, 9, 8), options={"dilation": [2], **ENOUGH})],
    "Deconvolution": [Case("enlarging", (2, 32, 5, 4), options={**ENOUGH, "kernel_size": [4], "stride": [2]})],
    "LRN": [
        Case("blocks", (2, 32, 5, 6), options={"local_size": 5, "alpha": 0.3, "beta": 0.75}),
        Case("within", (2, 32, 5, 6), options={"local_size": 3, "norm_region": "WITHIN_CHANNEL"}),
    ],
    "Pooling": [
        Case("max", (2, 32, 7, 8), options={"kernel_size": 3, "stride": 2}),
        Case("ave", (2, 32, 7, 8), options={"kernel_size": 2, "stride": 2, "pool": "AVE"}),
    ],
    "Softmax": [Case("rows", (5, 1000)), Case("maps", (2, 21, 6, 5))],
}
"""More than the layers' own cases: enough channels to fill blocks."""


@pytest.fixture(autouse=True)
def always_winograd(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Use Winograd in the nets that are named after it."""
    from cafx_engine_onednn.winograd.convolution import WinogradConvolution

    faster = "winograd" in request.node.name
    monkeypatch.setattr(WinogradConvolution, "is_faster", lambda self, training: faster)


class Spot(NamedTuple):
    """What a value is put in: ``input``, ``parameter`` or ``gradient`` (of the last top), a name and a position."""

    kind: str
    name: str
    position: int


def spots(net: Net, padded: bool) -> Iterator[Spot]:
    """Positions in inputs, parameters, and the gradient of the last top.

    With padding, NaN in a weight gives NaN at the borders on numpy only: see `may_skip_padding`.
    """
    rng = np.random.default_rng(2)
    for name in net.inputs * 2:
        yield Spot("input", name, int(rng.integers(net.blobs[name].count_)))
    for name, blobs in net.params.items():
        if name != "norm" and not padded:
            yield from (
                Spot("parameter", f"{name}.{i}", int(rng.integers(each.count_))) for i, each in enumerate(blobs)
            )
    if net.phase is Phase.TRAIN:
        count = net.blobs[list(net.blobs)[-1]].count_
        yield from (Spot("gradient", "", int(rng.integers(count))) for _ in range(3))


def passes(net: Net, spot: Spot, value: float | None) -> dict[str, np.ndarray]:
    """All data and gradients of a pass with a value in a spot; None for what is there anyway. In inference: outputs."""
    feed(net)
    last = net.blobs[list(net.blobs)[-1]]
    diff = np.random.default_rng(1).standard_normal(last.shape, np.float32)
    if value is not None and spot.kind == "gradient":
        diff.reshape(-1)[spot.position] = value
    with replaced(net, spot, value):
        net.clear_param_diffs()
        net.run_forward()
        names = net.blobs if net.program.plan.has_backward else net.outputs
        found = {name: net.blobs[name].host() for name in names}
        if net.phase is Phase.TEST:
            return found
        last.mutable_diff[...] = diff
        net.run_backward()
    return found | param_gradients(net) | {f"{name} diff": net.blobs[name].host_diff() for name in net.inputs}


@contextlib.contextmanager
def replaced(net: Net, spot: Spot, value: float | None) -> Iterator[None]:
    """Put a value into an input or a parameter, within a block."""
    if value is None or spot.kind == "gradient":
        yield
        return
    layer, _, index = spot.name.partition(".")
    blob = net.blobs[spot.name] if spot.kind == "input" else net.params[layer][int(index)]
    before = blob.host()
    changed = before.copy()
    changed.reshape(-1)[spot.position] = value
    blob.set_data(changed)
    yield
    blob.set_data(before)


def nets(name: str, mode: str) -> tuple[Net, Net]:
    """A net on oneDNN, all by routines, and the same on numpy; statistics are positive."""
    text, (phase, keep) = "\n".join(NETS[name]), MODES[mode]
    net, numpy = (net_of_text(text, phase, engine=engine, keep=keep, seed=1) for engine in ("onednn", "numpy"))
    for layer, blobs in numpy.params.items():
        for one, two in zip(net.params[layer], blobs, strict=True):
            values = np.abs(two.host()) + 1 if layer == "norm" else two.host()
            one.set_data(values)
            two.set_data(values)
    plain = [step.name for step in net.program.steps if step.run_by != "onednn"]
    assert set(plain) <= set(net.inputs)
    return net, numpy


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETS)
def test_steps_treat_what_is_not_finite_as_numpy_does(name: str, mode: str) -> None:
    net, numpy = nets(name, mode)
    for spot in spots(numpy, "pad" in name):
        with np.errstate(all="ignore"):
            usual, spread = (passes(numpy, spot, value) for value in (None, np.nan))
            for label, value in VALUES.items():
                results = passes(net, spot, value)
                for key, values in passes(numpy, spot, value).items():
                    affected = (spread[key] != usual[key]).reshape(-1)
                    expected = Expected(values, usual[key], affected, label == "1e38", "pad" in name)
                    problem = expected.differs(results[key])
                    assert problem is None, f"{label} in {spot}: {key} {problem}"


def cases() -> list[Any]:
    return [pytest.param(name, case, id=f"{name}-{case.name}") for name, every in EXTRA.items() for case in every]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), cases())
def test_routines_treat_what_is_not_finite_as_numpy_does(name: str, case: Case) -> None:
    trial, subject = Trial(name, case, engine="onednn"), Subject.of(name)
    require_same(trial, reference(subject, case, trial), "oneDNN")


def test_nan_is_met_only_where_there_is_one() -> None:
    net = net_of_text("\n".join(NETS["blocks"]), engine="onednn", seed=1)
    feed(net)
    exact.met_nan(net.engine.threads)
    net.run_forward()
    assert not exact.met_nan(net.engine.threads)


def test_without_kernels_layers_that_lose_nan_run_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "unavailable", lambda: "no llvmlite")
    net = net_of_text("\n".join(NETS["blocks"]), engine="onednn", seed=1)
    feed(net)
    data = net.blobs["x"].host()
    data.reshape(-1)[0] = np.nan
    net.blobs["x"].set_data(data)
    net.run_forward()
    assert np.isnan(net.blobs["y"].host()).any()
    assert "no llvmlite" in net.program.parts[-1].note
