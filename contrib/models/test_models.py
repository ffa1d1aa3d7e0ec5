"""Each architecture has the published number of parameters and runs forward and backward."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from cafx.kernel import Net, Phase, registry

PUBLISHED = {  # learned parameters, as published or counted from the published prototxt
    "alexnet": 60_965_224,
    "caffenet": 60_965_224,
    "rcnn": 57_687_624,
    "googlenet": 6_998_552,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "nin": 7_595_176,
    "resnet50": 25_557_032,
    "squeezenet": 1_248_424,
    "fcn32s": 136_152_917,
    "fcn8s": 134_489_759,
    "lrcn": 98_584_025,
}
TRAINED = {**PUBLISHED, "googlenet": 13_378_280}  # with the two auxiliary classifiers
SMALL_IMAGE = {"fcn32s": {"image": (32, 40)}, "fcn8s": {"image": (32, 40)}}
STATISTICS = ("BatchNorm",)
EVERY = sorted(PUBLISHED)


def model(name: str, **options: Any) -> Any:
    """The NetSpec of a reference model."""
    return registry().load("model", name)(**options)


def learned(net: Net) -> int:
    """Number of parameter values, except for BatchNorm's statistics, which are not learned."""
    return sum(blob.count_ for layer in net.layers if layer.type not in STATISTICS for blob in layer.blobs)


def built(name: str, train: bool, phase: Phase) -> Net:
    """Build the net of a reference model."""
    options = SMALL_IMAGE.get(name, {})
    return Net(model(name, train=train, **options).to_proto(), phase, engine="numpy", seed=1, keep="outputs")


def test_every_published_model_is_installed() -> None:
    assert set(PUBLISHED) <= set(registry().names("model"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_model_has_the_published_number_of_parameters_and_runs_forward(name: str) -> None:
    net = built(name, train=False, phase=Phase.TEST)
    assert learned(net) == PUBLISHED[name]
    normalise_statistics(net)
    outputs = net.forward(**inputs(net, np.random.default_rng(1)))
    for values in outputs.values():
        assert np.isfinite(values).all()
    if "prob" in outputs:
        np.testing.assert_allclose(outputs["prob"].sum(axis=1), 1, rtol=1e-5)
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_model_has_a_finite_loss_and_gradient(name: str) -> None:
    net = built(name, train=True, phase=Phase.TRAIN)
    assert learned(net) == TRAINED[name]
    net.forward(**inputs(net, np.random.default_rng(1)))
    assert np.isfinite(net.loss)
    assert net.loss > 0
    net.clear_param_diffs()
    net.backward()
    first = next(layer for layer in net.layers if layer.blobs and layer.learnable)
    gradient = first.blobs[0].diff
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0 or name.startswith("fcn")  # FCN's score layers are initialised to 0
    gc.collect()


def normalise_statistics(net: Net) -> None:
    """Set BatchNorm's statistics to mean 0 and variance 1; initially it divides by nearly 0."""
    for layer in net.layers:
        if layer.type in STATISTICS:
            layer.blobs[1].mutable_data[...] = 1
            layer.blobs[2].mutable_data[...] = 1


def inputs(net: Net, rng: np.random.Generator) -> dict[str, Any]:
    """Random images and, for inputs other than ``data``, labels or words."""
    values = {}
    for name in net.inputs:
        shape = net.blobs[name].shape
        if name == "data":
            values[name] = rng.standard_normal(shape) * 50
        elif name == "cont_sentence":
            values[name] = np.arange(shape[0])[:, None] * np.ones(shape) > 0
        else:
            values[name] = rng.integers(0, 20, shape)
    return values
