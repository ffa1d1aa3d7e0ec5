"""GoogLeNet."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import XAVIER, begin, connected, convolved, dropped, normalised, pooled

IMAGE = (3, 224, 224)
BIAS = 0.2
AUXILIARY_WEIGHT = 0.3
INCEPTIONS = {  # outputs of 1×1, 3×3 reduction, 3×3, 5×5 reduction, 5×5, and the projection after pooling
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOL_AFTER = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
AUXILIARY_AFTER = {"4a": "loss1", "4d": "loss2"}


def googlenet(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """GoogLeNet: nine inception modules, and two auxiliary classifiers for training.

    Source: Szegedy et al., "Going Deeper with Convolutions", 2014.
    """
    net = begin(net, "GoogLeNet", IMAGE, batch, () if train else None)
    x = _conv(net, "conv1/7x7_s2", net.data, 64, 7, relu="conv1/relu_7x7", stride=2, pad=3)
    x = normalised(net, "pool1/norm1", pooled(net, "pool1/3x3_s2", x, 3, 2))
    x = _conv(net, "conv2/3x3_reduce", x, 64, 1, relu="conv2/relu_3x3_reduce")
    x = _conv(net, "conv2/3x3", x, 192, 3, relu="conv2/relu_3x3", pad=1)
    x = pooled(net, "pool2/3x3_s2", normalised(net, "conv2/norm2", x), 3, 2)
    for module, outputs in INCEPTIONS.items():
        x = _inception(net, f"inception_{module}", x, outputs)
        if train and module in AUXILIARY_AFTER:
            _auxiliary(net, AUXILIARY_AFTER[module], x, classes)
        if module in POOL_AFTER:
            x = pooled(net, POOL_AFTER[module], x, 3, 2)
    x = pooled(net, "pool5/7x7_s1", x, 7, 1, pool="AVE")
    x = dropped(net, "pool5/drop_7x7_s1", x, 0.4)
    scores = connected(net, "loss3/classifier", x, classes, weights=XAVIER)
    if train:
        _add_loss(net, "loss3", scores, 1.0)
    else:
        net.prob = L.Softmax(scores)
    return net


def _conv(net: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, **options: Any) -> Any:
    return convolved(net, name, bottom, outputs, kernel, weights=XAVIER, bias=BIAS, **options)


def _inception(net: NetSpec, name: str, bottom: Any, outputs: tuple[int, ...]) -> Any:
    """Parallel filters of three sizes and a pooling; the larger filters follow a 1×1 reduction."""
    one, three_reduced, three, five_reduced, five, projected = outputs

    def conv(what: str, below: Any, count: int, kernel: int) -> Any:
        relu, pad = f"{name}/relu_{what}", {"pad": kernel // 2} if kernel > 1 else {}
        return _conv(net, f"{name}/{what}", below, count, kernel, relu=relu, **pad)

    branches = [
        conv("1x1", bottom, one, 1),
        conv("3x3", conv("3x3_reduce", bottom, three_reduced, 1), three, 3),
        conv("5x5", conv("5x5_reduce", bottom, five_reduced, 1), five, 5),
        conv("pool_proj", pooled(net, f"{name}/pool", bottom, 3, 1, pad=1), projected, 1),
    ]
    net[f"{name}/output"] = L.Concat(*branches)
    return net[f"{name}/output"]


def _auxiliary(net: NetSpec, name: str, bottom: Any, classes: int) -> None:
    """A small classifier on an intermediate top, which adds gradient to the lower layers."""
    x = pooled(net, f"{name}/ave_pool", bottom, 5, 3, pool="AVE")
    x = _conv(net, f"{name}/conv", x, 128, 1, relu=f"{name}/relu_conv")
    x = connected(net, f"{name}/fc", x, 1024, relu=f"{name}/relu_fc", weights=XAVIER, bias=BIAS)
    scores = connected(net, f"{name}/classifier", dropped(net, f"{name}/drop_fc", x, 0.7), classes, weights=XAVIER)
    _add_loss(net, name, scores, AUXILIARY_WEIGHT)


def _add_loss(net: NetSpec, name: str, scores: Any, weight: float) -> None:
    net[f"{name}/loss"] = L.SoftmaxWithLoss(scores, net.label, loss_weight=weight)
    with net.phase("TEST"):
        net[f"{name}/top-1"] = L.Accuracy(scores, net.label)
        net[f"{name}/top-5"] = L.Accuracy(scores, net.label, top_k=5)
