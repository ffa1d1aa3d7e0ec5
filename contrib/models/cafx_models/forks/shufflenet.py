"""ShuffleNet, 1× with three groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, batch_normalised, begin, classified, connected, convolved, pooled

if TYPE_CHECKING:
    from cafx.conformance.kinds.model import ModelCase

IMAGE = (224, 224)
FIRST_WIDTH, GROUPS = 24, 3
STAGES = ((240, 4), (480, 8), (960, 4))
"""Outputs and units of the stages."""
BOTTLENECK = 4


def shufflenet(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 1000,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """ShuffleNet 1×, g = 3: sixteen units of grouped 1×1 and depthwise 3×3 convolutions with shuffled channels.

    Args:
        net, batch, classes, train: see `cafx_models`.
        image: height and width of an image.

    Source: Zhang et al., "ShuffleNet", 2017; layers are named as in farmingyard/ShuffleNet.
    """
    net = begin(net, "shufflenet", (3, *image), batch, () if train else None)
    x = _normalised(net, "conv1", net.data, FIRST_WIDTH, 3, relu=True, pad=1, stride=2)
    x = pooled(net, "pool1", x, 3, 2)
    width, unit = FIRST_WIDTH, 0
    for outputs, units in STAGES:
        for index in range(units):
            unit += 1
            x = _unit(net, unit, x, outputs - width * (not index), first=not index)
            width = outputs
    net.pool_ave = L.Pooling(x, pool="AVE", global_pooling=True)
    return classified(net, connected(net, "fc1000", net.pool_ave, classes, weights=MSRA), train)


def _unit(net: NetSpec, unit: int, bottom: Any, outputs: int, *, first: bool) -> Any:
    """A unit: its result is added to its input or, with stride 2, joined to the input's average."""
    name, shortcut = f"resx{unit}", bottom
    if first:
        shortcut = pooled(net, f"{name}_match_conv", bottom, 3, 2, pool="AVE")
    group = {"group": GROUPS} if unit > 1 else {}
    x = _normalised(net, f"{name}_conv1", bottom, outputs // BOTTLENECK, 1, relu=True, **group)
    if unit > 1:
        net[f"shuffle{unit}"] = L.ShuffleChannel(x, group=GROUPS)
        x = net[f"shuffle{unit}"]
    x = _normalised(net, f"{name}_conv2", x, outputs // BOTTLENECK, 3, depthwise=True, stride=1 + first, pad=1)
    x = _normalised(net, f"{name}_conv3", x, outputs, 1, group=GROUPS)
    joined, name = (L.Concat, f"{name}_concat") if first else (L.Eltwise, f"{name}_elewise")
    net[name] = joined(shortcut, x)
    net[f"{name}_relu"] = L.ReLU(net[name], in_place=True)
    return net[f"{name}_relu"]


def _normalised(
    net: NetSpec,
    name: str,
    bottom: Any,
    outputs: int,
    kernel: int,
    *,
    relu: bool = False,
    depthwise: bool = False,
    **options: Any,
) -> Any:
    if depthwise:
        net[name] = L.ConvolutionDepthwise(
            bottom, num_output=outputs, kernel_size=kernel, bias_term=False, weight_filler=MSRA, **options
        )
        x = net[name]
    else:
        x = convolved(net, name, bottom, outputs, kernel, weights=MSRA, bias=None, **options)
    return batch_normalised(net, name, x, relu=f"{name}_relu" if relu else "", bn="{}_bn", scale="{}_scale")


def cases() -> Iterable[ModelCase]:
    """A net that runs in a moment."""
    from cafx.conformance.kinds.model import ModelCase

    yield ModelCase("small", {"image": (64, 96)}, of="shufflenet")
