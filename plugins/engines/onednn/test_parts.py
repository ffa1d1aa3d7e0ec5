"""Concatenations that inference leaves in parts, as in DenseNet."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.conformance.nets import assert_near, net_of_text
from cafx.kernel import Net, Phase
from cafx_engine_onednn import OneDNN, native

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")

TOLERANCE = 2e-5
SHAPE = (2, 3, 12, 12)
IN_PARTS = "left in parts"


def layer(name: str, kind: str, bottoms: str, top: str = "", options: str = "") -> str:
    read = " ".join(f'bottom: "{each}"' for each in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {options} }}\n'


def convolution(name: str, bottom: str, outputs: int, kernel: int) -> str:
    window = f'num_output: {outputs} kernel_size: {kernel} pad: {kernel // 2} weight_filler {{ type: "msra" }}'
    return layer(name, "Convolution", bottom, options=f"convolution_param {{ {window} }}")


def normalised(name: str, bottom: str) -> str:
    scale = 'scale_param { bias_term: true filler { type: "uniform" min: 0.5 max: 1.5 } }'
    return (
        layer(f"{name}_bn", "BatchNorm", bottom)
        + layer(f"{name}_scale", "Scale", f"{name}_bn", f"{name}_bn", scale)
        + layer(f"{name}_relu", "ReLU", f"{name}_bn", f"{name}_bn")
    )


def dense(growth: int = 16, last: str = "") -> str:
    """Three layers, each of which reads all before it."""
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 } } }\n'
    text += convolution("c0", "data", 32, 3)
    blob = "c0"
    for index in range(1, 4):
        text += normalised(f"n{index}", blob) + convolution(f"c{index}", f"n{index}_bn", growth, 3)
        text += layer(f"j{index}", "Concat", f"{blob} c{index}")
        blob = f"j{index}"
    return text + (last or normalised("n4", blob) + convolution("out", "n4_bn", 5, 1))


def make(text: str, **options: object) -> Net:
    settings = {"engine": "onednn", "seed": 1, "keep": "outputs"} | options
    net = net_of_text(text, Phase.TEST, **settings)
    rng = np.random.default_rng(3)
    for name, blobs in net.params.items():
        if name.endswith("_bn"):
            mean, variance, count = blobs
            mean.set_data(rng.uniform(-0.5, 0.5, mean.shape))
            variance.set_data(rng.uniform(0.5, 2, variance.shape))
            count.set_data([1])
    return net


def images(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def left_in_parts(net: Net) -> list[str]:
    return [step.name for step in net.program.steps if step.note == IN_PARTS]


def assert_agreement(text: str, parts: list[str]) -> tuple[Net, Net]:
    net, reference = make(text), make(text, engine="numpy")
    assert left_in_parts(net) == parts
    for seed in range(3):
        for name, values in reference.forward(data=images(seed)).items():
            assert_near(net.forward(data=images(seed))[name], values, TOLERANCE)
    return net, reference


def test_normalisations_read_the_parts() -> None:
    assert_agreement(dense(), ["j1", "j2", "j3"])


@pytest.mark.slow
def test_parameters_shapes_and_values_that_are_no_numbers_may_change() -> None:
    net, reference = assert_agreement(dense(), ["j1", "j2", "j3"])
    for name, blobs in reference.params.items():
        for mine, theirs in zip(net.params[name], blobs, strict=True):
            values = theirs.host() * 1.1 + 0.05
            mine.set_data(values)
            theirs.set_data(values)
    for shape in (SHAPE, (1, 3, 9, 14), SHAPE):
        data = images(7, shape)
        assert_near(net.forward(data=data)["out"], reference.forward(data=data)["out"], TOLERANCE)
    data = images(8)
    data[1, 0, 3, 3] = np.nan
    with np.errstate(invalid="ignore"):
        found, expected = (each.forward(data=data)["out"] for each in (net, reference))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["j1", "j2", "j3"])
def test_whoever_else_asks_gets_the_concatenation(name: str) -> None:
    net, reference = assert_agreement(dense(), ["j1", "j2", "j3"])
    data = images(9)
    assert_near(net.forward(data=data, end=name)[name], reference.forward(data=data, end=name)[name], TOLERANCE)
    assert_near(net.forward(data=data)["out"], reference.forward(data=data)["out"], TOLERANCE)


@pytest.mark.slow
def test_other_readers_need_the_concatenation() -> None:
    pooled = layer("out", "Pooling", "j3", options="pooling_param { kernel_size: 2 stride: 2 }")
    assert_agreement(dense(last=pooled), ["j1", "j2"])
    in_place = layer("bn_bn", "BatchNorm", "j3", "j3") + convolution("out", "j3", 5, 1)
    assert_agreement(dense(last=in_place), ["j1", "j2"])


@pytest.mark.slow
def test_what_does_not_fill_blocks_or_is_kept_is_concatenated() -> None:
    assert_agreement(dense(growth=10), [])
    assert left_in_parts(make(dense(), keep="all")) == []
    assert left_in_parts(make(dense(last="\n"), keep="outputs")) == ["j1", "j2"]
