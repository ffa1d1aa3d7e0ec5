"""ResNet-50."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, begin, classified, connected, convolved, pooled

IMAGE = (3, 224, 224)
DEPTHS = (3, 4, 6, 3)
FIRST_WIDTH = 64
EXPANSION = 4


def resnet50(
    net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False, first_bias: bool = False
) -> NetSpec:
    """ResNet-50: 16 residual blocks of three convolutions.

    BatchNorm uses the statistics of the batch in TRAIN phase, and the accumulated ones in TEST phase.

    Args:
        net, batch, classes, train: see `cafx_models`.
        first_bias: add a bias to the first convolution, as in the authors' ResNet-50-model.caffemodel.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2015; as in the published model, the
    stride is in the first 1×1 convolution of a stage.
    """
    net = begin(net, "ResNet-50", IMAGE, batch, () if train else None)
    x = _conv_norm(net, "conv1", net.data, 64, 7, relu=True, stride=2, pad=3, bias=0 if first_bias else None)
    x = pooled(net, "pool1", x, 3, 2)
    for stage, depth in enumerate(DEPTHS):
        for index in range(depth):
            name = f"{stage + 2}{chr(ord('a') + index)}"
            stride = 2 if stage and not index else 1
            x = _bottleneck(net, name, x, FIRST_WIDTH << stage, stride, first=not index)
    x = pooled(net, "pool5", x, 7, 1, pool="AVE")
    return classified(net, connected(net, f"fc{classes}", x, classes, weights=MSRA), train)


def _bottleneck(net: NetSpec, name: str, bottom: Any, width: int, stride: int, first: bool) -> Any:
    """1×1 reduction, 3×3, 1×1 expansion; the shortcut is a 1×1 convolution if the shape changes."""
    shortcut = bottom
    if first:
        shortcut = _conv_norm(net, f"{name}_branch1", bottom, width * EXPANSION, 1, stride=stride)
    x = _conv_norm(net, f"{name}_branch2a", bottom, width, 1, relu=True, stride=stride)
    x = _conv_norm(net, f"{name}_branch2b", x, width, 3, relu=True, pad=1)
    x = _conv_norm(net, f"{name}_branch2c", x, width * EXPANSION, 1)
    net[f"res{name}"] = L.Eltwise(shortcut, x)
    net[f"res{name}_relu"] = L.ReLU(net[f"res{name}"], in_place=True)
    return net[f"res{name}_relu"]


def _conv_norm(
    net: NetSpec,
    name: str,
    bottom: Any,
    outputs: int,
    kernel: int,
    *,
    relu: bool = False,
    bias: float | None = None,
    **options: Any,
) -> Any:
    """Convolution, batch normalisation, scale with bias, and optionally a ReLU, named as published."""
    is_first = name == "conv1"
    layer = name if is_first else f"res{name}"
    suffix = "_conv1" if is_first else name
    non_default = {key: value for key, value in options.items() if (key, value) != ("stride", 1)}
    x = convolved(net, layer, bottom, outputs, kernel, weights=MSRA, bias=bias, **non_default)
    net[f"bn{suffix}"] = L.BatchNorm(x, in_place=True)
    net[f"scale{suffix}"] = L.Scale(net[f"bn{suffix}"], bias_term=True, in_place=True)
    if not relu:
        return net[f"scale{suffix}"]
    net[f"{layer}_relu"] = L.ReLU(net[f"scale{suffix}"], in_place=True)
    return net[f"{layer}_relu"]
