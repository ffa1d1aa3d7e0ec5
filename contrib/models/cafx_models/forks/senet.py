"""SENet: SE-ResNet-50."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, batch_normalised, begin, classified, connected, convolved, pooled
from cafx_models.resnet import DEPTHS, EXPANSION, FIRST_WIDTH

IMAGE = (224, 224)
REDUCTION = 16


def se_resnet50(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 1000,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """SE-ResNet-50: ResNet-50 whose blocks weigh their channels (squeeze and excitation).

    Args:
        net, batch, classes, train: see `cafx_models`.
        image: height and width of an image.

    Source: Hu et al., "Squeeze-and-Excitation Networks", 2018; layers are named as in hujie-frank/SENet.
    """
    net = begin(net, "SE-ResNet-50", (3, *image), batch, () if train else None)
    x = _conv_norm(net, "conv1/7x7_s2", net.data, 64, 7, relu="conv1/relu_7x7_s2", pad=3, stride=2)
    x = pooled(net, "pool1/3x3_s2", x, 3, 2)
    for stage, depth in enumerate(DEPTHS, 2):
        for index in range(1, depth + 1):
            stride = 2 if stage > 2 and index == 1 else 1
            x = _block(net, f"conv{stage}_{index}", x, FIRST_WIDTH << (stage - 2), stride, first=index == 1)
    net["pool5/7x7_s1"] = L.Pooling(x, pool="AVE", global_pooling=True)
    return classified(net, connected(net, "classifier", net["pool5/7x7_s1"], classes, weights=MSRA), train)


def _block(net: NetSpec, name: str, bottom: Any, width: int, stride: int, first: bool) -> Any:
    """A bottleneck: the channels of its last convolution are multiplied by weights and added to the shortcut."""
    wide = width * EXPANSION
    x = _conv_norm(net, f"{name}_1x1_reduce", bottom, width, 1, relu=f"{name}_1x1_reduce/relu", stride=stride)
    x = _conv_norm(net, f"{name}_3x3", x, width, 3, relu=f"{name}_3x3/relu", pad=1)
    x = _conv_norm(net, f"{name}_1x1_increase", x, wide, 1)
    net[f"{name}_global_pool"] = L.Pooling(x, pool="AVE", global_pooling=True)
    down = f"{name}_1x1_down"
    squeezed = convolved(net, down, net[f"{name}_global_pool"], wide // REDUCTION, 1, relu=f"{down}/relu", weights=MSRA)
    excited = convolved(net, f"{name}_1x1_up", squeezed, wide, 1, weights=MSRA)
    net[f"{name}_prob"] = L.Sigmoid(excited, in_place=True)
    shortcut = _conv_norm(net, f"{name}_1x1_proj", bottom, wide, 1, stride=stride) if first else bottom
    net[name] = L.Axpy(net[f"{name}_prob"], x, shortcut)
    net[f"{name}/relu"] = L.ReLU(net[name], in_place=True)
    return net[f"{name}/relu"]


def _conv_norm(
    net: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, *, relu: str = "", **options: Any
) -> Any:
    non_default = {key: value for key, value in options.items() if (key, value) != ("stride", 1)}
    x = convolved(net, name, bottom, outputs, kernel, weights=MSRA, bias=None, **non_default)
    return batch_normalised(net, name, x, relu=relu, scale="{}/bn/scale")
