"""YOLOv3 in Caffe's form: on Darknet-53, and on MobileNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, XAVIER, batch_normalised, begin, constant, convolved

IMAGE = (416, 416)
LABEL = (1, 300, 5)
"""Rows of the label: class from 0, centre x, centre y, width, height."""
COCO_ANCHORS = [10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]
VOC_ANCHORS = [10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319]
BOXES = 3
DARKNET = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
"""Outputs and residual blocks of the stages."""
MOBILE_WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
MOBILE_HALVED = (2, 4, 6, 12)


def yolov3(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 80,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """YOLOv3: Darknet-53, and boxes of three sizes at each of three scales.

    Args:
        net: a NetSpec with the tops ``data`` and, for training, ``label``; None for a new one with Input layers.
        batch: images per batch, of a new net.
        classes: number of classes.
        train: end in the losses of the three scales; otherwise in the top ``detection_out``.
        image: height and width of an image, multiples of 32.

    Source: Redmon and Farhadi, "YOLOv3", 2018; layers are numbered as in eric612/MobileNet-YOLO's yolov3.prototxt.
    """
    net = begin(net, "Darkent2Caffe", (3, *image), batch, LABEL if train else None)
    layers = _Numbered(net)
    x = layers.convolution(net.data, 32, 3)
    ends = []
    for outputs, blocks in DARKNET:
        x = layers.convolution(x, outputs, 3, stride=2)
        for _ in range(blocks):
            y = layers.convolution(layers.convolution(x, outputs // 2, 1), outputs, 3)
            x = layers.add("shortcut", L.Eltwise(x, y))
        ends.append(x)
    predictions, branch = [], x
    values = BOXES * (5 + classes)
    for scale, width in enumerate((512, 256, 128)):
        if scale:
            x = layers.add("route", L.Concat(branch))
            x = layers.add("upsample", L.Upsample(layers.convolution(x, width, 1), scale=2))
            x = layers.add("route", L.Concat(x, ends[-1 - scale]))
        for _ in range(2):
            x = layers.convolution(layers.convolution(x, width, 1), 2 * width, 3)
        branch = layers.convolution(x, width, 1)
        x = layers.add("conv", _predicting(layers.convolution(branch, 2 * width, 3), values))
        predictions.append(layers.add("yolo", L.Concat(x)) if scale < 2 else x)
    masks = [[6, 7, 8], [3, 4, 5], [0, 1, 2]]
    return _detected(net, predictions, COCO_ANCHORS, masks, classes, train, thresh=0.7)


def mobilenet_yolov3(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 20,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """MobileNet-YOLOv3-Lite: MobileNet, and boxes of three sizes at each of two scales.

    Args:
        net, batch, classes, train, image: see `yolov3`.

    Source: eric612/MobileNet-YOLO, mobilenet_yolov3_lite. There, too, a fixed Deconvolution and a max pooling
        sum pairs of the coarse scale's channels and enlarge them.
    """
    net = begin(net, "MobileNet-YOLO", (3, *image), batch, LABEL if train else None)
    x = _normalised(net, "conv0", _convolution(net, "conv0", net.data, 32, 3, pad=1, stride=2))
    width, middle = 32, None
    for index, outputs in enumerate(MOBILE_WIDTHS, 1):
        stride = {"stride": 2} if index in MOBILE_HALVED else {}
        x = _separable(net, f"conv{index}", x, width, outputs, **stride)
        width, middle = outputs, x if index == 11 else middle
    coarse = _separable(net, "conv15", x, width, 1024)
    summing = {"num_output": 512, "group": 512, "kernel_size": 1, "stride": 2, "bias_term": False}
    net.upsample = L.Deconvolution(
        coarse, convolution_param={**summing, "weight_filler": constant(1)}, param=[{"lr_mult": 0, "decay_mult": 0}]
    )
    net.maxpool = L.Pooling(net.upsample, pool="MAX", kernel_size=2, stride=1, pad=1)
    net["conv17/sum"] = L.Eltwise(net.maxpool, _separable(net, "conv17", middle, 512, 512))
    fine = _separable(net, "conv18", net["conv17/sum"], 512, 1024, name="conv18_new")
    predictions = []
    for name, top in (("conv19", coarse), ("conv20", fine)):
        net[name] = _predicting(top, BOXES * (5 + classes))
        predictions.append(net[name])
    return _detected(net, predictions, VOC_ANCHORS, [[3, 4, 5], [0, 1, 2]], classes, train, thresh=0.6)


class _Numbered:
    """Adds layers named by their number and kind."""

    def __init__(self, net: NetSpec) -> None:
        self.net = net
        self.number = 0

    def add(self, kind: str, top: Any) -> Any:
        self.number += 1
        name = f"layer{self.number}-{kind}"
        self.net[name] = top
        return self.net[name]

    def convolution(self, bottom: Any, outputs: int, kernel: int, stride: int = 1) -> Any:
        """A convolution, batch normalisation and leaky ReLU."""
        self.number += 1
        name = f"layer{self.number}"
        x = convolved(
            self.net, f"{name}-conv", bottom, outputs, kernel, weights=XAVIER, bias=None, stride=stride, pad=kernel // 2
        )
        options = {"bn": "{}-bn", "scale": "{}-scale", "relu": f"{name}-act"}
        return batch_normalised(self.net, name, x, eps=0.0001, negative_slope=0.1, **options)


def _predicting(bottom: Any, values: int) -> Any:
    return L.Convolution(bottom, num_output=values, kernel_size=1, weight_filler=XAVIER)


def _convolution(net: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, **options: Any) -> Any:
    return convolved(net, name, bottom, outputs, kernel, weights=MSRA, bias=None, **options)


def _normalised(net: NetSpec, name: str, top: Any) -> Any:
    return batch_normalised(net, name, top, relu=f"{name}/relu")


def _separable(
    net: NetSpec, block: str, bottom: Any, width: int, outputs: int, *, name: str = "", **stride: int
) -> Any:
    """A depthwise and a 1×1 convolution, which is called like the block if it has no ``name``."""
    options = {"num_output": width, "group": width, "kernel_size": 3, "pad": 1, "bias_term": False, **stride}
    net[f"{block}/dw"] = L.DepthwiseConvolution(bottom, weight_filler=MSRA, **options)
    x = _normalised(net, f"{block}/dw", net[f"{block}/dw"])
    name = name or block
    return _normalised(net, name, _convolution(net, name, x, outputs, 1))


def _detected(
    net: NetSpec,
    predictions: Sequence[Any],
    anchors: Sequence[float],
    masks: Sequence[Sequence[int]],
    classes: int,
    train: bool,
    thresh: float,
) -> NetSpec:
    """Add a loss per scale or, without ``train``, the detections; the first scale has 32 pixels per cell."""
    scales = [32 >> index for index in range(len(masks))]
    if not train:
        net.detection_out = L.Yolov3DetectionOutput(
            *predictions,
            num_classes=classes,
            num_box=BOXES,
            confidence_threshold=0.3,
            biases=anchors,
            anchors_scale=scales,
            mask=[index for mask in masks for index in mask],
            mask_group_num=len(masks),
        )
        return net
    for number, (top, mask, scale) in enumerate(zip(predictions, masks, scales, strict=True), 1):
        options = {"object_scale": 5.0, "noobject_scale": 1.0, "class_scale": 1.0, "coord_scale": 1.0}
        net[f"det_loss{number}"] = L.Yolov3(
            top,
            net.label,
            name=f"Yolov3Loss{number}",
            num_class=classes,
            num=BOXES,
            thresh=thresh,
            anchors_scale=scale,
            biases=anchors,
            mask=mask,
            **options,
        )
    return net
