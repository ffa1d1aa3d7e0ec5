"""Kernels of batch normalisation in training, by themselves and in nets, with sums and splits behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance.nets import assert_all_near, assert_near, feed, net_of_text, param_gradients
from cafx.kernel import CafxError, Net, Phase
from cafx_engine_onednn import OneDNN, native
from cafx_engine_onednn.api.memory import Memory, MemoryDesc
from cafx_engine_onednn.scratch import Scratch

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
Array = npt.NDArray[Any]
BLOCK, EPS = 16, 1e-3
EXACT = 2e-6
"""Relative to the largest value of float64's result."""
TOLERANCE = 1e-4
FUSED = "fused: normalisation and sum, and their gradients, in one pass each"
SPLIT = {"adds": True, "relu": True, "sources": 2, "stores": True}
FORMS: dict[str, dict[str, Any]] = {
    "all": {**SPLIT, "scale": True, "shift": True},
    "relu": {"relu": True, "scale": True},
    "plain": {},
    "sum": {"adds": True, "stores": True, "shift": True},
    "addend without gradient": {**SPLIT, "stores": False},
    "no gradient below": {**SPLIT, "scale": True, "shift": True, "down": False},
}


class Kernels:
    """Both passes over drawn values, on blobs of blocks × pixels × 16."""

    def __init__(self, shape: tuple[int, int, int], form: dict[str, Any], threads: int, mean: float = 0) -> None:
        from cafx_engine_onednn.batch_norm import Form, Size, program

        images, blocks, pixels = shape
        self.shape, self.form = (images, blocks, pixels, BLOCK), Form(**form)
        self.rng, channels = np.random.default_rng(0), blocks * BLOCK
        self.memory = {
            name: self.drawn(images * pixels * channels) for name in ("x", "z", "y", "dx", "dz", "dy", "dy2")
        }
        self.memory |= {name: self.drawn(channels) for name in ("mean", "variance", "scale", "shift")}
        self.memory |= {name: self.drawn(channels) for name in ("dscale", "dshift")}
        self.memory["passed"] = self.drawn(-(-images * pixels * channels // 32))
        self.memory["x"].flat[:] = self.memory["x"].flat * 2 + mean
        size, scratch = Size(images=images, blocks=blocks, pixels=pixels), Scratch()
        resources: dict[str, Any] = {"threads": threads, "scratch": scratch.floats}
        unneeded = {name for name in ("scale", "shift") if not form.get(name)}
        unneeded |= {f"d{name}" for name in unneeded} | ({"z"} if not form.get("adds") else set())
        known = {name: each for name, each in self.memory.items() if name not in unneeded}
        gradients = {"dy", "dy2", "dx", "dz", "dscale", "dshift"}
        forward = {name: each for name, each in known.items() if name not in gradients}
        program(forward, self.form, size, EPS, **resources)()
        program({**known}, self.form, size, EPS, **resources)()

    def drawn(self, count: int) -> Memory:
        memory = Memory(MemoryDesc.plain((count,)))
        memory.flat[:] = self.rng.standard_normal(count, np.float32)
        return memory

    def __getitem__(self, name: str) -> Array:
        values = self.memory[name].flat
        if name in ("mean", "variance", "scale", "shift", "dscale", "dshift"):
            return values.reshape(1, self.shape[1], 1, BLOCK).astype(np.float64)
        return values.reshape(self.shape).astype(np.float64)

    def expected(self) -> dict[str, Array]:
        """What NumPy computes in float64."""
        form, x, axes = self.form, self["x"], (0, 2)
        scale = self["scale"] if form.scale else 1
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        deviation = np.sqrt(variance + EPS)
        hat = (x - mean) / deviation
        y = hat * scale + (self["shift"] if form.shift else 0) + (self["z"] if form.adds else 0)
        g = self["dy"] + (self["dy2"] if form.sources > 1 else 0)
        if form.relu:
            y, g = np.maximum(y, 0), g * (y > 0)
        along, total = (g * hat).sum(axes, keepdims=True), g.sum(axes, keepdims=True)
        count = x.shape[0] * x.shape[2]
        found = {"mean": mean, "variance": variance, "y": y}
        found |= {"dz": g} if form.stores else {}
        found |= {"dscale": along} if form.scale else {}
        found |= {"dshift": total} if form.shift else {}
        down = {"dx": scale * (g - total / count - hat * along / count) / deviation}
        return found | (down if form.down else {})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "threads"),
    [((2, 2, 12), 1), ((3, 1, 7), 4), ((5, 3, 1), 8), ((1, 9, 25), 2), ((2, 40, 3), 2)],
    ids=["few", "divided images", "one pixel", "one image", "groups of blocks"],
)
def test_kernels_compute_the_formulas(shape: tuple[int, int, int], threads: int, form: str) -> None:
    kernels = Kernels(shape, FORMS[form], threads)
    for name, values in kernels.expected().items():
        assert_near(kernels[name], values, EXACT, name)


def test_a_mean_far_from_zero_costs_no_precision() -> None:
    kernels = Kernels((4, 2, 30), FORMS["plain"], 1, mean=1000)
    for name, values in kernels.expected().items():
        assert_near(kernels[name], values, 1e-4, name)  # the values themselves are rounded to 6e-5


CONVOLUTION = """layer { name: "NAME" type: "Convolution" bottom: "BOTTOM" top: "NAME" convolution_param {
  num_output: 32 kernel_size: 1 bias_term: false weight_filler { type: "gaussian" std: 0.3 } } }"""
SCALE = """layer { name: "NAME_scale" type: "Scale" bottom: "TOP" top: "TOP" scale_param {
  BIAS filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 0.5 } } }"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }'
READERS = "".join(CONVOLUTION.replace("NAME", each).replace("BOTTOM", "sum") for each in ("left", "right"))
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "TOP" bottom: "target" top: "loss" }'
TOTAL = 'layer { name: "total" type: "Eltwise" bottom: "left" bottom: "right" top: "total" }' + LOSS.replace(
    "TOP", "total"
)
ONE = CONVOLUTION.replace("NAME", "left").replace("BOTTOM", "sum") + LOSS.replace("TOP", "left")


def normalised(name: str, bottom: str, scale: str = "bias_term: true", *, in_place: bool = True) -> str:
    convolution = CONVOLUTION.replace("NAME", name).replace("BOTTOM", bottom)
    top = name if in_place else f"{name}_n"
    norm = f'layer {{ name: "{name}_norm" type: "BatchNorm" bottom: "{name}" top: "{top}" }}'
    scaled = SCALE.replace("NAME", name).replace("TOP", top).replace("BIAS", scale) if scale else ""
    return convolution + norm + scaled


def block(
    body: str = "", sum_of: str = 'bottom: "side" bottom: "body"', relu: str = RELU, readers: str = READERS + TOTAL
) -> str:
    sizes = [f"input_param {{ shape {{ dim: 3 dim: {channels} dim: 5 dim: 7 }} }}" for channels in (16, 32)]
    return f"""layer {{ name: "data" type: "Input" top: "data" {sizes[0]} }}
    layer {{ name: "target" type: "Input" top: "target" {sizes[1]} }}
    {CONVOLUTION.replace("NAME", "stem").replace("BOTTOM", "data")}
    {normalised("side", "stem")} {body or normalised("body", "stem")}
    layer {{ name: "sum" type: "Eltwise" {sum_of} top: "sum" }} {relu} {readers}"""


def results(
    text: str, engine: str, keep: Any = "outputs", changed: dict[str, float] | None = None
) -> tuple[Net, dict[str, Array]]:
    """A net after two passes, with its outputs, gradients and statistics; values of parameters may be changed."""
    net = net_of_text(text, Phase.TRAIN, engine=engine, keep=keep, seed=4)
    for name, value in (changed or {}).items():
        net.params[name][0].mutable_data.reshape(-1)[3] = value
    for turn in range(2):
        feed(net, turn)
        net.clear_param_diffs()
        net.run_forward()
        if "sum" in net.outputs:
            net.blobs["sum"].mutable_diff[...] = np.random.default_rng(turn).standard_normal(net.blobs["sum"].shape)
        net.run_backward()
    statistics = {f"{name}.{i}": each.host() for name, blobs in net.params.items() for i, each in enumerate(blobs)}
    found = {name: net.blobs[name].host() for name in net.outputs}
    if keep == ["stem"]:
        found["stem diff"] = net.blobs["stem"].host_diff()
    return net, found | statistics | param_gradients(net)


def notes(net: Net) -> list[str]:
    return [step.note for step in net.program.steps]


STILL = (
    CONVOLUTION.replace("NAME", "still")
    .replace("BOTTOM", "data")
    .replace("convolution_param", "param { lr_mult: 0 } convolution_param")
)
BLOCKS = {
    "split": block(),
    "other order": block(sum_of='bottom: "body" bottom: "side"'),
    "no ReLU": block(relu=""),
    "one reader": block(readers=ONE),
    "three readers": block(readers=READERS + CONVOLUTION.replace("NAME", "more").replace("BOTTOM", "sum") + TOTAL),
    "last": block(readers=LOSS.replace("TOP", "sum")),
    "no bias": block(normalised("body", "stem", "bias_term: false")),
    "no scale": block(normalised("body", "stem", "")),
    "top apart": block(normalised("body", "stem", in_place=False), 'bottom: "side" bottom: "body_n"'),
    "a reader without gradient": block(
        readers=READERS.replace('bottom: "sum" top: "right"', 'bottom: "sum" top: "right" propagate_down: false')
        + TOTAL
    ),
    "addend without gradient": block(STILL + normalised("body", "stem"), 'bottom: "body" bottom: "still"'),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_end_of_a_residual_block_is_one_step(name: str) -> None:
    net, found = results(BLOCKS[name], "onednn")
    assert FUSED in notes(net)
    _, expected = results(BLOCKS[name], "numpy")
    assert_all_near(found, expected, TOLERANCE)


@pytest.mark.parametrize("name", ["split", "one reader", "no scale"])
def test_it_computes_the_same_bits_as_the_layers_one_by_one(name: str) -> None:
    (fused, found), (apart, expected) = (results(BLOCKS[name], "onednn", keep) for keep in ("outputs", "all"))
    assert FUSED in notes(fused)
    assert FUSED not in notes(apart)
    assert_all_near(found, expected, 0)


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        (block(), ["body"]),
        (block(relu=RELU.replace("top", "relu_param { negative_slope: 0.1 } top")), "outputs"),
        (block(sum_of='bottom: "body" bottom: "body"'), "outputs"),
        (block(sum_of='bottom: "side" bottom: "body" eltwise_param { coeff: 1 coeff: -1 }'), "outputs"),
        (block(readers=READERS + TOTAL + CONVOLUTION.replace("NAME", "o").replace("BOTTOM", "body")), "outputs"),
        (block().replace(": 32", ": 24"), "outputs"),
        (block().replace('top: "body" }', 'top: "body" batch_norm_param { use_global_stats: true } }', 1), "outputs"),
    ],
    ids=["kept", "leaky", "itself", "difference", "read by another layer", "blocks not full", "running statistics"],
)
def test_other_sums_stay_apart(text: str, keep: Any) -> None:
    net, found = results(text, "onednn", keep)
    _, expected = results(text, "numpy", keep)
    assert FUSED not in notes(net)
    assert_all_near(found, expected, TOLERANCE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["body_scale", "body", "side_scale", "stem"])
@pytest.mark.parametrize("readers", ["", READERS + TOTAL], ids=["given gradient", "split"])
def test_what_is_not_finite_is_the_same_as_on_numpy(readers: str, place: str, value: float) -> None:
    text = "force_backward: true " + block(readers=readers)
    with np.errstate(all="ignore"):
        (_, found), (_, expected) = (results(text, each, ["stem"], {place: value}) for each in ("onednn", "numpy"))
    for name, values in expected.items():
        finite = np.isfinite(values)
        np.testing.assert_array_equal(np.isfinite(found[name]), finite, err_msg=name)
        np.testing.assert_array_equal(found[name][~finite], values[~finite], err_msg=name)


def test_a_range_that_cuts_the_step_runs_its_layers() -> None:
    onednn, numpy = (net_of_text(block(), engine=each, keep="outputs", seed=4) for each in ("onednn", "numpy"))
    for net in (onednn, numpy):
        feed(net)
        net.run_forward(end="body_scale")
    assert_near(onednn.blobs["body"].data, numpy.blobs["body"].data, TOLERANCE)


def test_a_backward_pass_that_begins_within_the_step_is_refused() -> None:
    net = net_of_text(block(), engine="onednn", keep="outputs", seed=4)
    feed(net)
    net.run_forward()
    net.run_backward(end="sum")
    with pytest.raises(CafxError, match="backward begins inside a fused step"):
        net.run_backward(start="body_scale")


def test_a_gradient_that_is_not_computed_again_counts_as_zero() -> None:
    found = []
    for engine, keep, earlier in (("numpy", "all", 0), ("onednn", "outputs", 1)):
        net = net_of_text(block(), engine=engine, keep=keep, seed=4)
        feed(net)
        for _ in range(earlier):
            net.run_forward()
            net.run_backward()
        net.clear_param_diffs()
        net.run_forward()
        net.blobs["left"].mutable_diff[...] = np.random.default_rng(3).standard_normal((3, 32, 5, 7))
        net.run_backward(start="left")
        found.append(param_gradients(net))
    expected, result = found
    assert_all_near(result, expected, TOLERANCE)
