"""Each architecture has the published number of parameters and runs forward and backward."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import Net, Phase, registry, schema

TestCaffenet = plugin_suite("model", "caffenet")
TestMobilenetV1 = plugin_suite("model", "mobilenet_v1")
TestSegnetBasic = plugin_suite("model", "segnet_basic")
TestShufflenet = plugin_suite("model", "shufflenet")
TestSqueezenet = plugin_suite("model", "squeezenet")

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
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_505_960,
    "mobilenet_ssd": 5_783_417,
    "vgg_ssd300": 26_285_486,
    "faster_rcnn_vgg16": 137_078_239,
    "se_resnet50": 28_088_024,
    "shufflenet": 1_814_734,
    "segnet": 29_449_355,
    "segnet_basic": 1_416_587,
    "pspnet50": 46_782_550,
    "yolov3": 61_949_149,
    "mobilenet_yolov3": 5_224_406,
}
TRAINED = {**PUBLISHED, "googlenet": 13_378_280, "mobilenet_ssd": 5_796_089}
"""GoogLeNet with the two auxiliary classifiers, MobileNet-SSD with batch normalisation."""
SMALL_IMAGE: dict[str, dict[str, Any]] = {
    **{name: {"image": (32, 40)} for name in ("fcn32s", "fcn8s")},
    **{name: {"image": (64, 96)} for name in ("mobilenet_v1", "mobilenet_v2", "se_resnet50", "shufflenet")},
    **{name: {"image": (45, 60)} for name in ("segnet", "segnet_basic")},
    **{name: {"image": (64, 96)} for name in ("faster_rcnn_vgg16", "mobilenet_yolov3", "yolov3")},
    "pspnet50": {"side": 89},
}
STATISTICS = {"BatchNorm": 3, "BN": 2}
"""How many parameters, the last ones, hold statistics; SegNet's BN has no more than two in all."""
OBJECTS = {
    "vgg_ssd300": [0, 3, 0, 0.2, 0.3, 0.6, 0.8, 0],
    "mobilenet_ssd": [0, 3, 0, 0.2, 0.3, 0.6, 0.8, 0],
    "yolov3": [3, 0.4, 0.5, 0.5, 0.6],
    "mobilenet_yolov3": [3, 0.4, 0.5, 0.5, 0.6],
}
"""The row of the label that holds an object; others are 0."""
REGIONS = {"im_info": [64, 96, 1], "gt_boxes": [10, 5, 70, 60, 3]}
REAL = {
    "mobilenet_ssd": "chuanqi305/MobileNet-SSD/voc/MobileNetSSD_deploy.prototxt",
    "se_resnet50": "hujie-frank/SENet/models/SE-ResNet-50.prototxt",
    "pspnet50": "hszhao/PSPNet/evaluation/prototxt/pspnet50_ADE20K_473.prototxt",
}
FIXED = {"conv1_1", "conv1_2", "conv2_1", "conv2_2"}
"""Layers that Faster R-CNN does not train."""
EVERY = sorted(PUBLISHED)


def model(name: str, **options: Any) -> Any:
    """The NetSpec of a reference model."""
    return registry().load("model", name)(**options)


def learned(net: Net) -> int:
    """Number of parameter values, except for statistics, which are not learned."""
    return sum(blob.count_ for layer in net.layers for blob in layer.blobs[: len(layer.blobs) - statistics(layer)])


def statistics(layer: Any) -> int:
    """How many parameters of a layer hold statistics."""
    return STATISTICS.get(layer.type, 0) if len(layer.blobs) > 2 else 0


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
    outputs = net.forward(**inputs(name, net, np.random.default_rng(1)))
    for values in outputs.values():
        assert np.isfinite(values).all()
    if name == "faster_rcnn_vgg16":
        assert len(outputs["cls_prob"]) == len(outputs["bbox_pred"]) > 0
    if "prob" in outputs:
        np.testing.assert_allclose(outputs["prob"].sum(axis=1), 1, rtol=1e-5)
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_model_has_a_finite_loss_and_gradient(name: str) -> None:
    net = built(name, train=True, phase=Phase.TRAIN)
    assert learned(net) == TRAINED[name]
    net.forward(**inputs(name, net, np.random.default_rng(1)))
    assert np.isfinite(net.loss)
    assert net.loss > 0
    net.clear_param_diffs()
    net.backward()
    first = next(layer for layer in net.layers if layer.blobs and layer.learnable and layer.name not in FIXED)
    gradient = first.blobs[0].diff
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0 or name.startswith("fcn")  # FCN's score layers are initialised to 0
    gc.collect()


def normalise_statistics(net: Net) -> None:
    """Set BatchNorm's statistics to mean 0 and variance 1; initially it divides by nearly 0."""
    for layer in net.layers:
        if layer.type == "BatchNorm":
            layer.blobs[1].mutable_data[...] = 1
            layer.blobs[2].mutable_data[...] = 1


def inputs(name: str, net: Net, rng: np.random.Generator) -> dict[str, Any]:
    """Random images and, for inputs other than ``data``, labels, words or an object."""
    values = {}
    for each in net.inputs:
        shape = net.blobs[each].shape
        if each == "data":
            values[each] = rng.standard_normal(shape) * 50
        elif each == "cont_sentence":
            values[each] = np.arange(shape[0])[:, None] * np.ones(shape) > 0
        elif each in REGIONS:
            values[each] = np.array([REGIONS[each]])
        elif name in OBJECTS:
            values[each] = np.zeros(shape)
            values[each][..., 0, :] = OBJECTS[name]
        else:
            values[each] = rng.integers(0, 11, shape)
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REAL))
def test_a_model_has_the_layers_of_the_published_file(name: str, shared: Path) -> None:
    path = shared / "prototxt" / REAL[name]
    if not path.exists():
        pytest.skip(f"needs {path}")
    ours = model(name).to_proto()
    theirs = schema().parse_text(path.read_text("utf-8"), "NetParameter")
    assert wiring(ours) == wiring(theirs)
    assert shapes(ours) == shapes(theirs)


def test_mobilenet_ssd_is_trained_as_in_the_published_file(shared: Path) -> None:
    path = shared / "prototxt/chuanqi305/MobileNet-SSD/voc/MobileNetSSD_train.prototxt"
    if not path.exists():
        pytest.skip(f"needs {path}")
    theirs = schema().parse_text(path.read_text("utf-8"), "NetParameter")
    assert wiring(model("mobilenet_ssd", train=True).to_proto()) == wiring(theirs)


def shapes(proto: Any) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of parameters by layer."""
    net = Net(proto, Phase.TEST, engine="numpy", seed=1)
    return {layer.name: [blob.shape for blob in layer.blobs] for layer in net.layers if layer.blobs}


def wiring(proto: Any) -> set[tuple[Any, ...]]:
    """Name, type, bottoms and tops of each layer but those without bottoms."""
    return {(each.name, each.type, *each.bottom, *each.top) for each in proto.layer if each.bottom}
