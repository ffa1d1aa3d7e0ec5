"""Single shot detectors: VGG SSD300 and MobileNet-SSD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, XAVIER, batch_normalised, begin, constant, convolved, pooled
from cafx_models.vgg import VGG16, blocks

IMAGE = (300, 300)
VARIANCES = [0.1, 0.1, 0.2, 0.2]
LABEL = (1, 1, 8)
"""A row of the label: item, class, instance, xmin, ymin, xmax, ymax, difficult."""


@attrs.frozen
class Source:
    """A top that boxes are predicted from.

    Attributes:
        name: its name.
        smallest, largest: sizes of the square boxes; no second one if ``largest`` is None.
        ratios: aspect ratios besides 1, each of which is also used inverted.
        step: pixels per cell; None for the image's size over the top's.
    """

    name: str
    smallest: float
    largest: float | None
    ratios: Sequence[float] = (2, 3)
    step: float | None = None

    @property
    def boxes(self) -> int:
        """Boxes per cell."""
        return 1 + (self.largest is not None) + 2 * len(self.ratios)

    def priors(self, top: Any, image: Any) -> Any:
        """The PriorBox layer."""
        options: dict[str, Any] = {"min_size": [self.smallest], "aspect_ratio": list(self.ratios)}
        if self.largest is not None:
            options["max_size"] = [self.largest]
        if self.step is not None:
            options["step"] = self.step
        return L.PriorBox(top, image, flip=True, clip=False, variance=VARIANCES, offset=0.5, **options)


VGG_SOURCES = (
    Source("conv4_3_norm", 30, 60, (2,), 8),
    Source("fc7", 60, 111, (2, 3), 16),
    Source("conv6_2", 111, 162, (2, 3), 32),
    Source("conv7_2", 162, 213, (2, 3), 64),
    Source("conv8_2", 213, 264, (2,), 100),
    Source("conv9_2", 264, 315, (2,), 300),
)
VGG_EXTRA = (("6", 256, 512, 2, 1), ("7", 128, 256, 2, 1), ("8", 128, 256, 1, 0), ("9", 128, 256, 1, 0))
"""Name, outputs of the 1×1 and the 3×3 convolution, stride and padding of the second."""
MOBILE_SOURCES = (
    Source("conv11", 60, None, (2,)),
    Source("conv13", 105, 150),
    Source("conv14_2", 150, 195),
    Source("conv15_2", 195, 240),
    Source("conv16_2", 240, 285),
    Source("conv17_2", 285, 300),
)
MOBILE_WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
MOBILE_HALVED = (2, 4, 6, 12)
"""Separable convolutions with stride 2."""
MOBILE_EXTRA = (("14", 256, 512), ("15", 128, 256), ("16", 128, 256), ("17", 64, 128))


def vgg_ssd300(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 21,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """SSD300: boxes of six sizes from VGG-16 and four further blocks.

    Args:
        net: a NetSpec with the tops ``data`` and, for training, ``label`` as AnnotatedData gives it; None for a
            new one with Input layers.
        batch: images per batch, of a new net.
        classes: number of classes, the background included.
        train: end in the loss; otherwise in the top ``detection_out``.
        image: height and width of an image.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, weiliu89/caffe; trained on VOC 07+12.
    """
    net = begin(net, "VGG_VOC0712_SSD_300x300", (3, *image), batch, LABEL if train else None)
    blocks(net, VGG16)
    x = pooled(net, "pool5", net.relu5_3, 3, 1, pad=1)
    x = convolved(net, "fc6", x, 1024, 3, relu="relu6", weights=XAVIER, pad=6, dilation=6)
    x = convolved(net, "fc7", x, 1024, 1, relu="relu7", weights=XAVIER)
    scale = {"scale_filler": constant(20), "across_spatial": False, "channel_shared": False}
    net.conv4_3_norm = L.Normalize(net.relu4_3, **scale)
    tops = [net.conv4_3_norm, x]
    for name, narrow, wide, stride, pad in VGG_EXTRA:
        x = convolved(net, f"conv{name}_1", x, narrow, 1, relu=f"conv{name}_1_relu", weights=XAVIER)
        options = {"stride": stride} if stride != 1 else {}
        options |= {"pad": pad} if pad else {}
        x = convolved(net, f"conv{name}_2", x, wide, 3, relu=f"conv{name}_2_relu", weights=XAVIER, **options)
        tops.append(x)
    heads(net, VGG_SOURCES, tops, classes, kernel=3, weights=XAVIER)
    return detected(net, classes, train, top_k=400, keep_top_k=200, confidence=0.01)


def mobilenet_ssd(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 21,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """MobileNet-SSD: boxes of six sizes from MobileNet and four further blocks.

    A net for inference has biases where that for training has batch normalisation, as in the authors'
    MobileNetSSD_deploy and MobileNetSSD_train.

    Args:
        net, batch, classes, train, image: see `vgg_ssd300`.

    Source: chuanqi305/MobileNet-SSD.
    """
    net = begin(net, "MobileNet-SSD", (3, *image), batch, LABEL if train else None)
    x = _mobile(net, "conv0", net.data, 32, 3, train, pad=1, stride=2)
    width, tops = 32, []
    for index, outputs in enumerate(MOBILE_WIDTHS, 1):
        stride = {"stride": 2} if index in MOBILE_HALVED else {}
        x = _mobile(net, f"conv{index}/dw", x, width, 3, train, pad=1, group=width, **stride)
        x = _mobile(net, f"conv{index}", x, outputs, 1, train)
        width = outputs
        if f"conv{index}" in (source.name for source in MOBILE_SOURCES):
            tops.append(x)
    for name, narrow, wide in MOBILE_EXTRA:
        x = _mobile(net, f"conv{name}_1", x, narrow, 1, train)
        x = _mobile(net, f"conv{name}_2", x, wide, 3, train, pad=1, stride=2)
        tops.append(x)
    heads(net, MOBILE_SOURCES, tops, classes, kernel=1, weights=MSRA)
    return detected(net, classes, train, top_k=100, keep_top_k=100, confidence=0.25)


def heads(
    net: NetSpec, sources: Sequence[Source], tops: Sequence[Any], classes: int, *, kernel: int, weights: dict[str, Any]
) -> None:
    """Add the predictions of boxes and classes and the prior boxes: mbox_loc, mbox_conf and mbox_priorbox.

    Args:
        net: the net, with the top ``data``.
        sources: what boxes are predicted from.
        tops: the tops that the sources name.
        classes: number of classes, the background included.
        kernel: kernel size of the predicting convolutions.
        weights: weight initialiser.
    """
    pad = {"pad": kernel // 2} if kernel > 1 else {}
    parts: dict[str, list[Any]] = {"loc": [], "conf": [], "priorbox": []}
    for source, top in zip(sources, tops, strict=True):
        name = f"{source.name}_mbox"
        for part, values in (("loc", 4), ("conf", classes)):
            head = f"{name}_{part}"
            x = convolved(net, head, top, source.boxes * values, kernel, weights=weights, **pad)
            net[f"{head}_perm"] = L.Permute(x, order=[0, 2, 3, 1])
            net[f"{head}_flat"] = L.Flatten(net[f"{head}_perm"], axis=1)
            parts[part].append(net[f"{head}_flat"])
        net[f"{name}_priorbox"] = source.priors(top, net.data)
        parts["priorbox"].append(net[f"{name}_priorbox"])
    net.mbox_loc = L.Concat(*parts["loc"], axis=1)
    net.mbox_conf = L.Concat(*parts["conf"], axis=1)
    net.mbox_priorbox = L.Concat(*parts["priorbox"], axis=2)


def detected(net: NetSpec, classes: int, train: bool, *, top_k: int, keep_top_k: int, confidence: float) -> NetSpec:
    """Add the loss or, without ``train``, the detections. Returns the net.

    Args:
        net: the net, with `heads`.
        classes: number of classes, the background included.
        train: whether to add the loss.
        top_k: boxes per class before non-maximum suppression.
        keep_top_k: boxes per image after it.
        confidence: scores of detections are larger.
    """
    if train:
        net.mbox_loss = L.MultiBoxLoss(
            net.mbox_loc,
            net.mbox_conf,
            net.mbox_priorbox,
            net.label,
            num_classes=classes,
            code_type="CENTER_SIZE",
            loss_param={"normalization": "VALID"},
            propagate_down=[True, True, False, False],
        )
        return net
    net.mbox_conf_reshape = L.Reshape(net.mbox_conf, shape={"dim": [0, -1, classes]})
    net.mbox_conf_softmax = L.Softmax(net.mbox_conf_reshape, axis=2)
    net.mbox_conf_flatten = L.Flatten(net.mbox_conf_softmax, axis=1)
    net.detection_out = L.DetectionOutput(
        net.mbox_loc,
        net.mbox_conf_flatten,
        net.mbox_priorbox,
        num_classes=classes,
        code_type="CENTER_SIZE",
        nms_param={"nms_threshold": 0.45, "top_k": top_k},
        keep_top_k=keep_top_k,
        confidence_threshold=confidence,
    )
    return net


def _mobile(net: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, train: bool, **options: Any) -> Any:
    if not train:
        return convolved(net, name, bottom, outputs, kernel, relu=f"{name}/relu", weights=MSRA, **options)
    x = convolved(net, name, bottom, outputs, kernel, weights=MSRA, bias=None, **options)
    return batch_normalised(net, name, x, relu=f"{name}/relu")
