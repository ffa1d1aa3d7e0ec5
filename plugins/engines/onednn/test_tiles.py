"""Winograd's tiles: the algebra, every pass of any convolution against numpy, and when they are taken."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cafx.kernel import Net, Phase, schema
from cafx_engine_onednn import OneDNN, native
from cafx_engine_onednn.api.library import Library, load
from cafx_engine_onednn.winograd import matrices as winograd
from cafx_engine_onednn.winograd import passes
from cafx_engine_onednn.winograd.convolution import Tiles

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")

TOLERANCE = 2e-5
"""Of the largest value: what float32 loses in the transforms."""


SCHEMES = {
    f"{s.results} of {s.taps}, {s.factors}": s
    for s in [*sum(winograd.AHEAD.values(), ()), *sum(winograd.WEIGHTS.values(), ())]
}
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def matrix(rows: winograd.Matrix) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows])


@every_scheme
def test_results_come_of_fewer_products(scheme: winograd.Scheme) -> None:
    rng = np.random.default_rng(0)
    values, taps = rng.standard_normal(scheme.side), rng.standard_normal(scheme.taps)
    products = (matrix(scheme.spread) @ values) * (matrix(scheme.kernel) @ taps)
    assert products.size < scheme.results * scheme.taps
    np.testing.assert_allclose(matrix(scheme.gather) @ products, np.correlate(values, taps), atol=1e-12)


@every_scheme
def test_one_product_is_part_of_every_result(scheme: winograd.Scheme) -> None:
    np.testing.assert_array_equal(matrix(scheme.gather)[:, scheme.ones], np.ones(scheme.results))


def test_the_way_with_fewest_products_is_taken() -> None:
    assert [winograd.fewest(winograd.WEIGHTS[3], size, size).results for size in (7, 13, 28)] == [4, 5, 6]


@attrs.frozen
class Convolved:
    """A convolution to be tried."""

    images: int
    inputs: int
    outputs: int
    size: tuple[int, int]
    taps: int
    pad: int
    group: int
    slope: float | None
    wanted: tuple[bool, bool]
    cached: int
    at_once: int

    def text(self) -> str:
        """A net in which it lies between two others."""
        height, width = self.size
        rates = " ".join(f"param {{ lr_mult: {int(wanted)} }}" for wanted in self.wanted)
        unit = f"relu_param {{ negative_slope: {self.slope} }}"
        return f"""
        layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{
          dim: {self.images} dim: {self.inputs} dim: {height} dim: {width} }} }} }}
        layer {{ name: "pre" type: "Convolution" bottom: "data" top: "pre" convolution_param {{
          num_output: {self.inputs} kernel_size: 1 weight_filler {{ type: "msra" }} }} }}
        layer {{ name: "conv" type: "Convolution" bottom: "pre" top: "conv" {rates} convolution_param {{
          num_output: {self.outputs} kernel_size: {self.taps} pad: {self.pad} group: {self.group}
          weight_filler {{ type: "msra" }} bias_filler {{ type: "gaussian" std: 1 }} }} }}
        {f'layer {{ name: "unit" type: "ReLU" bottom: "conv" top: "conv" {unit} }}' if self.slope is not None else ""}
        layer {{ name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 0.1
          reduction_param {{ operation: SUMSQ }} }}"""


def sixteens(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most).map(lambda count: 16 * count)


convolutions = st.builds(
    Convolved,
    images=st.integers(1, 5),
    inputs=sixteens(3),
    outputs=sixteens(3),
    size=st.tuples(st.integers(5, 15), st.integers(5, 15)),
    taps=st.sampled_from([3, 5]),
    pad=st.integers(0, 4),
    group=st.just(1),
    slope=st.sampled_from([None, 0.0, 0.1]),
    wanted=st.tuples(st.booleans(), st.booleans()),
    cached=st.sampled_from([1 << 14, 1 << 17, 4 << 20]),
    at_once=st.sampled_from([1 << 14, 4 << 20]),
)
uneven = st.builds(
    lambda c, inputs, outputs: attrs.evolve(c, inputs=c.inputs - inputs, outputs=c.outputs - outputs),
    convolutions,
    st.integers(1, 5),
    st.integers(1, 5),
)
grouped = convolutions.map(lambda c: attrs.evolve(c, group=2, inputs=2 * c.inputs, outputs=2 * c.outputs))


def passed(case: Convolved, engine: str) -> dict[str, Any]:
    """Two passes whose gradients add up."""
    net = Net(schema().parse_text(case.text(), "NetParameter"), Phase.TRAIN, engine=engine, seed=1)
    data = np.random.default_rng(0).standard_normal(net.blobs["data"].shape, np.float32)
    net.blobs["data"].set_data(data)
    for _ in range(2):
        net.run_forward()
        net.run_backward()
    if engine == "onednn":
        taken = [
            getattr(step.routines[0], "tiles", None)
            for step in net.program.parts
            if step.layers[0].layer.name == "conv"
        ]
        if not any(taken):
            return {}  # few geometries have no direct primitive that works in blocks
    found = {"top": net.blobs["conv"].host(), "bottom": net.blobs["pre"].host_diff()}
    return found | {f"parameter {i}": blob.host_diff() for i, blob in enumerate(net.params["conv"])}


@pytest.mark.parametrize("cases", [convolutions, uneven, grouped], ids=["whole", "uneven", "grouped"])
def test_they_do_what_numpy_does(cases: st.SearchStrategy[Convolved], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self, training: True)

    @settings(max_examples=40, deadline=None, database=None)
    @given(cases)
    def check(case: Convolved) -> None:
        monkeypatch.setattr(passes, "CACHED", case.cached)
        monkeypatch.setattr(passes, "AT_ONCE", case.at_once)
        found, expected = passed(case, "onednn"), passed(case, "numpy")
        assume(found)
        for name, value in expected.items():
            allowed = TOLERANCE * np.abs(value).max(initial=1e-2)
            np.testing.assert_allclose(found[name], value, rtol=0, atol=allowed, err_msg=f"{name} of {case}")

    check()


def test_a_normalisation_is_folded_into_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self, training: True)
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 9 dim: 10 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
      num_output: 32 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } } }
    layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
    layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
    layer { name: "unit" type: "ReLU" bottom: "conv" top: "conv" }"""
    rng = np.random.default_rng(3)
    data, mean, variance, bias = rng.standard_normal((2, 16, 9, 10), np.float32), *rng.random((3, 32), np.float32)
    found = []
    for engine in ("numpy", "onednn"):
        net = Net(schema().parse_text(text, "NetParameter"), Phase.TEST, engine=engine, seed=1, keep="outputs")
        for blob, value in zip(net.params["norm"], (mean, variance + 0.5, [1.0]), strict=True):
            blob.mutable_data[...] = value
        net.params["scale"][1].mutable_data[...] = bias
        found.append(net.forward(data=data)["conv"].copy())
    assert net.program.steps[-1].note == "fused: normalisation folded into the weights; Winograd"
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=TOLERANCE * np.abs(found[0]).max())


@pytest.mark.parametrize(
    ("images", "inputs", "outputs", "size", "taps", "expected"),
    [
        (4, 256, 256, 56, 3, True),
        (4, 512, 512, 28, 3, True),
        (8, 64, 64, 56, 3, True),
        (8, 512, 512, 7, 3, True),
        (1, 512, 512, 7, 3, False),  # few tiles for so many weights
        (8, 16, 16, 56, 3, False),  # transforms outweigh products
        (32, 48, 128, 27, 5, True),
        (64, 20, 50, 8, 5, True),  # LeNet, whose channels do not fill blocks
        (64, 20, 50, 4, 3, False),  # too little to make kernels for
    ],
)
def test_they_are_taken_where_they_pay(
    images: int, inputs: int, outputs: int, size: int, taps: int, expected: bool
) -> None:
    shapes = (images, inputs, size, size), (images, outputs, size, size)
    pad = taps // 2, taps // 2
    assert Tiles(None, *shapes, taps=taps, pad=pad, group=1).pay(training=True) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("more", ["stride: 2", "dilation: 2", "pad: 3", "kernel_h: 5 kernel_w: 3"])
def test_other_convolutions_stay_direct(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self, training: True)
    text = f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 16 dim: 9 dim: 9 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
      num_output: 16 {"" if "kernel" in more else "kernel_size: 3"} {more} weight_filler {{ type: "msra" }} }} }}"""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="onednn", seed=1)
    assert net.program.steps[-1].routines[0].tiles is None
    assert not net.program.steps[-1].note


def test_without_a_compiler_convolutions_stay_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "unavailable", lambda: "llvmlite does not load")
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 64 dim: 56 dim: 56 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
      num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }"""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="onednn", seed=1)
    assert net.program.steps[-1].run_by == "onednn"
    assert net.program.steps[-1].routines[0].tiles is None


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self, training: True)
    case = Convolved(3, 32, 48, (13, 11), 3, 1, 1, 0.0, (True, True), 1 << 17, 1 << 17)
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(passed(case, "onednn"))
    for other in found[1:]:
        for name, value in found[0].items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)


needs_bf16 = pytest.mark.skipif(bool(REASON) or not load().has_bf16, reason="the processor does not multiply bfloat16")
BF16_TOLERANCE = 0.01
"""Of the largest value: two roundings to eight bits."""


@needs_bf16
@pytest.mark.parametrize(
    ("taps", "inputs", "outputs", "slope"), [(3, 32, 48, 0.0), (3, 20, 40, None), (5, 32, 32, 0.1)]
)
def test_activations_may_be_bfloat16(
    taps: int, inputs: int, outputs: int, slope: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self, training: True)
    monkeypatch.setattr(Library, "has_amx", False)
    monkeypatch.setenv("CAFX_PRECISION", "bf16")
    case = Convolved(2, inputs, outputs, (11, 9), taps, 1, 1, slope, (True, True), 1 << 20, 1 << 20)
    found = passed(case, "onednn")
    monkeypatch.delenv("CAFX_PRECISION")
    expected = passed(case, "numpy")
    assert found
    for name, value in expected.items():
        allowed = BF16_TOLERANCE * np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=allowed, err_msg=name)


@needs_bf16
def test_where_whole_tiles_of_bfloat16_are_multiplied_at_once_it_stays_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self, training: True)
    monkeypatch.setattr(Library, "has_amx", True)
    monkeypatch.setenv("CAFX_PRECISION", "bf16")
    assert not passed(Convolved(2, 32, 32, (11, 9), 3, 1, 1, None, (True, True), 1 << 20, 1 << 20), "onednn")
