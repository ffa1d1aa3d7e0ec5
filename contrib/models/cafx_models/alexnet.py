"""AlexNet, CaffeNet and R-CNN."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx_models.parts import begin, classified, connected, convolved, dropped, gaussian, normalised, pooled

IMAGE = (3, 227, 227)
RCNN_CLASSES = 200


def alexnet(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """AlexNet, with two groups of filters, for images of 227×227 pixels.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012.
    """
    net = begin(net, "AlexNet", IMAGE, batch, () if train else None)
    return classified(net, body(net, classes, pool_first=False, bias=0.1, top="fc8"), train)


def caffenet(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """CaffeNet, Caffe's reference model: AlexNet with pooling before normalisation.

    Source: BVLC/caffe, models/bvlc_reference_caffenet.
    """
    net = begin(net, "CaffeNet", IMAGE, batch, () if train else None)
    return classified(net, body(net, classes, pool_first=True, bias=1, top="fc8"), train)


def rcnn(net: NetSpec | None = None, *, batch: int = 1, classes: int = RCNN_CLASSES, train: bool = False) -> NetSpec:
    """R-CNN: CaffeNet with linear detectors of ILSVRC13's 200 classes, for warped regions.

    With ``train``, it ends in a softmax loss, for fine-tuning; otherwise in the detectors' scores ``fc-rcnn``.

    Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
    segmentation", 2014.
    """
    net = begin(net, "R-CNN-ilsvrc13", IMAGE, batch, () if train else None)
    scores = body(net, classes, pool_first=True, bias=1, top="fc-rcnn")
    return classified(net, scores, train) if train else net


def body(net: NetSpec, classes: int, *, pool_first: bool, bias: float, top: str) -> Any:
    """Five convolutions, two fully connected layers of 4096 outputs, and the scores.

    Args:
        net: the net, with the top ``data``.
        classes: number of scores.
        pool_first: pool before normalisation, instead of after it.
        bias: initial bias of some layers.
        top: name of the scores.
    """
    small, smaller = gaussian(0.01), gaussian(0.005)

    def pool_and_normalise(number: int, bottom: Any) -> Any:
        if pool_first:
            return normalised(net, f"norm{number}", pooled(net, f"pool{number}", bottom, 3, 2))
        return pooled(net, f"pool{number}", normalised(net, f"norm{number}", bottom), 3, 2)

    x = convolved(net, "conv1", net.data, 96, 11, stride=4, relu="relu1", weights=small)
    x = pool_and_normalise(1, x)
    x = convolved(net, "conv2", x, 256, 5, pad=2, group=2, relu="relu2", weights=small, bias=bias)
    x = pool_and_normalise(2, x)
    x = convolved(net, "conv3", x, 384, 3, pad=1, relu="relu3", weights=small)
    x = convolved(net, "conv4", x, 384, 3, pad=1, group=2, relu="relu4", weights=small, bias=bias)
    x = convolved(net, "conv5", x, 256, 3, pad=1, group=2, relu="relu5", weights=small, bias=bias)
    x = pooled(net, "pool5", x, 3, 2)
    x = dropped(net, "drop6", connected(net, "fc6", x, 4096, relu="relu6", weights=smaller, bias=bias))
    x = dropped(net, "drop7", connected(net, "fc7", x, 4096, relu="relu7", weights=smaller, bias=bias))
    return connected(net, top, x, classes, weights=small)
