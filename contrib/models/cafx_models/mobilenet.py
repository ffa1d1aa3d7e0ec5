"""MobileNet, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, batch_normalised, begin, classified, convolved

if TYPE_CHECKING:
    from cafx.conformance.kinds.model import ModelCase

IMAGE = (3, 224, 224)
SEPARABLE = (
    ("2_1", 64, 1),
    ("2_2", 128, 2),
    ("3_1", 128, 1),
    ("3_2", 256, 2),
    ("4_1", 256, 1),
    ("4_2", 512, 2),
    *((f"5_{index}", 512, 1) for index in range(1, 6)),
    ("5_6", 1024, 2),
    ("6", 1024, 1),
)
"""Name, outputs and stride of version 1's separable convolutions."""
INVERTED = (
    ("2_1", 1, 16, 1),
    ("2_2", 6, 24, 2),
    ("3_1", 6, 24, 1),
    ("3_2", 6, 32, 2),
    ("4_1", 6, 32, 1),
    ("4_2", 6, 32, 1),
    ("4_3", 6, 64, 1),
    *((f"4_{index}", 6, 64, 1) for index in range(4, 7)),
    ("4_7", 6, 96, 2),
    ("5_1", 6, 96, 1),
    ("5_2", 6, 96, 1),
    ("5_3", 6, 160, 2),
    ("6_1", 6, 160, 1),
    ("6_2", 6, 160, 1),
    ("6_3", 6, 320, 1),
)
"""Name, expansion, outputs and stride of version 2's inverted residual blocks."""
LAST_WIDTH = 1280


def mobilenet_v1(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 1000,
    train: bool = False,
    image: tuple[int, int] = IMAGE[1:],
) -> NetSpec:
    """MobileNet: a convolution and thirteen depthwise separable ones.

    Args:
        net, batch, classes, train: see `cafx_models`.
        image: height and width of an image.

    Source: Howard et al., "MobileNets", 2017; layers are named as in shicai/MobileNet-Caffe.
    """
    net = begin(net, "MOBILENET", (3, *image), batch, () if train else None)
    x = normalised_convolution(net, "conv1", net.data, 32, 3, relu="relu1", pad=1, stride=2)
    width = 32
    for name, outputs, stride in SEPARABLE:
        x = _convolution(net, name, "dw", x, width, 3, relu=True, pad=1, stride=stride, group=width)
        x = _convolution(net, name, "sep", x, outputs, 1, relu=True)
        width = outputs
    return _finished(net, x, classes, train)


def mobilenet_v2(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 1000,
    train: bool = False,
    image: tuple[int, int] = IMAGE[1:],
) -> NetSpec:
    """MobileNetV2: seventeen inverted residual blocks.

    Args:
        net, batch, classes, train: see `cafx_models`.
        image: height and width of an image.

    Source: Sandler et al., "MobileNetV2", 2018, as in shicai/MobileNet-Caffe: there the first block has an
    expansion, too, and the third halving of the image is in block 4_7, not in 4_3.
    """
    net = begin(net, "MOBILENET_V2", (3, *image), batch, () if train else None)
    x = normalised_convolution(net, "conv1", net.data, 32, 3, relu="relu1", pad=1, stride=2)
    width = 32
    for name, expansion, outputs, stride in INVERTED:
        shortcut, hidden = x, width * expansion
        x = _convolution(net, name, "expand", x, hidden, 1, relu=True)
        x = _convolution(net, name, "dwise", x, hidden, 3, relu=True, pad=1, stride=stride, group=hidden)
        x = _convolution(net, name, "linear", x, outputs, 1)
        if stride == 1 and outputs == width:
            net[f"block_{name}"] = L.Eltwise(shortcut, x)
            x = net[f"block_{name}"]
        width = outputs
    x = normalised_convolution(net, "conv6_4", x, LAST_WIDTH, 1, relu="relu6_4")
    return _finished(net, x, classes, train)


def normalised_convolution(
    net: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, *, relu: str = "", **options: Any
) -> Any:
    """Add a convolution without bias, a batch normalisation, a scale with bias and optionally a ReLU.

    Args:
        net, name, bottom, outputs, kernel: as for `cafx_models.parts.convolved`.
        relu: name of the ReLU; "" for none.
        options: further options of the convolution.
    """
    non_default = {key: value for key, value in options.items() if (key, value) not in (("stride", 1), ("group", 1))}
    x = convolved(net, name, bottom, outputs, kernel, weights=MSRA, bias=None, **non_default)
    return batch_normalised(net, name, x, relu=relu, eps=1e-5)


def _convolution(
    net: NetSpec, block: str, part: str, bottom: Any, outputs: int, kernel: int, *, relu: bool = False, **options: Any
) -> Any:
    name = f"relu{block}/{part}" if relu else ""
    return normalised_convolution(net, f"conv{block}/{part}", bottom, outputs, kernel, relu=name, **options)


def _finished(net: NetSpec, bottom: Any, classes: int, train: bool) -> NetSpec:
    net.pool6 = L.Pooling(bottom, pool="AVE", global_pooling=True)
    x = convolved(net, "fc7", net.pool6, classes, 1, weights=MSRA)
    return classified(net, x, train)


def cases() -> Iterable[ModelCase]:
    """A net that runs in a moment."""
    from cafx.conformance.kinds.model import ModelCase

    yield ModelCase("small", {"image": (64, 96)}, of="mobilenet_v1")
