"""Fully convolutional networks on VGG-16: FCN-32s and FCN-8s."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import XAVIER, begin, constant, convolved, dropped
from cafx_models.vgg import VGG16, blocks

CLASSES = 21
IMAGE = (500, 500)
FIRST_PAD = 100  # so that even the smallest image has an output at a stride of 32
IGNORED = 255
FROZEN: tuple[dict[str, float], ...] = ({"lr_mult": 0},)


def fcn32s(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = CLASSES,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """FCN-32s: VGG-16 applied convolutionally, with scores upsampled 32 times.

    Args:
        net, batch, classes, train: see `cafx_models`; ``label`` is an image of class numbers, 255 for none.
        image: height and width of the images of a new net.

    Source: Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015.
    """
    net, tops = _body(net, "FCN-32s", batch, classes, train, image)
    net.upscore = _enlarged(tops[-1], classes, kernel=64, stride=32)
    return _segmented(net, net.upscore, 19, train)


def fcn8s(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = CLASSES,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """FCN-8s: upsampled in three steps, adding the scores of the fourth and third blocks.

    Args:
        net, batch, classes, train, image: see `fcn32s`.

    Source: Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015; the
    version trained in one stage, with scaled skip scores.
    """
    net, tops = _body(net, "FCN-8s", batch, classes, train, image)
    net.upscore2 = _enlarged(tops[-1], classes, kernel=4, stride=2)
    fused = _with_skip(net, 4, tops[3], net.upscore2, classes, scale=0.01, offset=5)
    net.upscore_pool4 = _enlarged(fused, classes, kernel=4, stride=2)
    fused = _with_skip(net, 3, tops[2], net.upscore_pool4, classes, scale=0.0001, offset=9)
    net.upscore8 = _enlarged(fused, classes, kernel=16, stride=8)
    return _segmented(net, net.upscore8, 31, train)


def _body(
    net: NetSpec | None, name: str, batch: int, classes: int, train: bool, image: tuple[int, int]
) -> tuple[NetSpec, list[Any]]:
    """VGG-16 with convolutions instead of inner products; returns the pooled tops and, last, the scores."""
    net = begin(net, name, (3, *image), batch, (1, *image) if train else None)
    tops = blocks(net, VGG16, FIRST_PAD)
    x = tops[-1]
    for number, kernel in ((6, 7), (7, 1)):
        x = convolved(net, f"fc{number}", x, 4096, kernel, relu=f"relu{number}", weights=XAVIER)
        x = dropped(net, f"drop{number}", x)
    return net, [*tops, convolved(net, "score_fr", x, classes, 1, weights=constant())]


def _enlarged(bottom: Any, classes: int, kernel: int, stride: int) -> Any:
    """Upsample scores by the factor ``stride`` with a fixed bilinear filter."""
    return L.Deconvolution(
        bottom,
        num_output=classes,
        kernel_size=kernel,
        stride=stride,
        bias_term=False,
        weight_filler={"type": "bilinear"},
        param=FROZEN,
    )


def _with_skip(net: NetSpec, block: int, pooled: Any, above: Any, classes: int, *, scale: float, offset: int) -> Any:
    """Add the scores of an earlier block to the upsampled scores ``above``."""
    name = f"pool{block}"
    net[f"scale_{name}"] = L.Power(pooled, scale=scale)
    scores = convolved(net, f"score_{name}", net[f"scale_{name}"], classes, 1, weights=constant())
    net[f"score_{name}c"] = L.Crop(scores, above, axis=2, offset=[offset])
    net[f"fuse_{name}"] = L.Eltwise(above, net[f"score_{name}c"], operation="SUM")
    return net[f"fuse_{name}"]


def _segmented(net: NetSpec, scores: Any, offset: int, train: bool) -> NetSpec:
    """Crop the scores to the image and, for training, add the loss, a sum over all pixels."""
    net.score = L.Crop(scores, net.data, axis=2, offset=[offset])
    if train:
        net.loss = L.SoftmaxWithLoss(net.score, net.label, loss_param={"ignore_label": IGNORED, "normalize": False})
    return net
