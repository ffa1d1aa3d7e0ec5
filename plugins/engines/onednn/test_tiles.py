"""Winograd's tiles: the algebra, every pass of any convolution of 3 × 3 against numpy, and when they are taken."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cafx.kernel import Net, Phase, schema
from cafx_engine_onednn import OneDNN, tiling, winograd
from cafx_engine_onednn.tiles import Tiles

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 1e-5
"""Of the largest value: what float32 loses in the transforms."""


def test_two_by_two_results_come_of_sixteen_products() -> None:
    rng = np.random.default_rng(0)
    tile, kernel = rng.standard_normal((4, 4)), rng.standard_normal((3, 3))
    products = (winograd.spread_kernel() @ kernel.ravel()) * (winograd.spread() @ tile.ravel())
    assert products.size == 16
    direct = [[(tile[i : i + 3, j : j + 3] * kernel).sum() for j in range(2)] for i in range(2)]
    np.testing.assert_allclose((winograd.gather() @ products).reshape(2, 2), direct, atol=1e-6)


def test_one_product_is_part_of_every_result() -> None:
    np.testing.assert_array_equal(winograd.gather()[:, winograd.ONES], np.ones(4))


@attrs.frozen
class Convolved:
    """A convolution to be tried."""

    images: int
    inputs: int
    outputs: int
    size: tuple[int, int]
    pad: int
    group: int
    slope: float | None
    wanted: tuple[bool, bool]
    cached: int

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
          num_output: {self.outputs} kernel_size: 3 pad: {self.pad} group: {self.group}
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
    size=st.tuples(st.integers(3, 14), st.integers(3, 14)),
    pad=st.integers(0, 2),
    group=st.just(1),
    slope=st.sampled_from([None, 0.0, 0.1]),
    wanted=st.tuples(st.booleans(), st.booleans()),
    cached=st.sampled_from([1 << 14, 1 << 17, 4 << 20]),
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
        taken = [getattr(step.object, "tiles", None) for step in net.plain_steps if step.layer.name == "conv"]
        assume(any(taken))  # few geometries have no direct primitive that works in blocks
    found = {"top": net.blobs["conv"].host(), "bottom": net.blobs["pre"].host_diff()}
    return found | {f"parameter {i}": blob.host_diff() for i, blob in enumerate(net.params["conv"])}


@pytest.mark.parametrize("cases", [convolutions, grouped], ids=["whole", "grouped"])
def test_they_do_what_numpy_does(cases: st.SearchStrategy[Convolved], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self: True)

    @settings(max_examples=40, deadline=None, database=None)
    @given(cases)
    def check(case: Convolved) -> None:
        monkeypatch.setattr(tiling, "CACHED", case.cached)
        monkeypatch.setattr(tiling, "AT_ONCE", case.cached)
        found, expected = passed(case, "onednn"), passed(case, "numpy")
        for name, value in expected.items():
            allowed = TOLERANCE * np.abs(value).max(initial=1e-2)
            np.testing.assert_allclose(found[name], value, rtol=0, atol=allowed, err_msg=f"{name} of {case}")

    check()


def test_a_normalisation_is_folded_into_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self: True)
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
    assert net.steps[-1].note == "fused: normalisation folded into the weights; Winograd's tiles"
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=TOLERANCE * np.abs(found[0]).max())


@pytest.mark.parametrize(
    ("images", "inputs", "outputs", "size", "expected"),
    [
        (4, 256, 256, 56, True),
        (4, 512, 512, 28, True),
        (8, 256, 256, 14, True),
        (8, 512, 512, 7, False),  # few tiles for so many weights
        (8, 64, 64, 56, False),  # transforms outweigh products
        (1, 16, 16, 8, False),
    ],
)
def test_they_are_taken_where_they_pay(images: int, inputs: int, outputs: int, size: int, expected: bool) -> None:
    shapes = (images, inputs, size, size), (images, outputs, size, size)
    assert Tiles(None, *shapes, pad=(1, 1), group=1).pay() is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("more", ["stride: 2", "dilation: 2", "pad: 3"])
def test_other_convolutions_stay_direct(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiles, "pay", lambda self: True)
    text = f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 16 dim: 9 dim: 9 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
      num_output: 16 kernel_size: 3 {more} weight_filler {{ type: "msra" }} }} }}"""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="onednn", seed=1)
    assert net.steps[-1].object.tiles is None
    assert not net.steps[-1].note
