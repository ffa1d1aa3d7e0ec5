"""VGG-16 and VGG-19."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx_models.parts import LEARNED, XAVIER, begin, classified, connected, convolved, dropped, gaussian, pooled

IMAGE = (3, 224, 224)
WIDTHS = (64, 128, 256, 512, 512)
FIXED: tuple[dict[str, float], ...] = ({"lr_mult": 0, "decay_mult": 0},) * 2
VGG16, VGG19 = (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)


def vgg16(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """VGG-16: thirteen 3×3 convolutions and three fully connected layers.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2014.
    """
    return _vgg("VGG_ILSVRC_16_layers", VGG16, net, batch, classes, train)


def vgg19(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """VGG-19: VGG-16 with three more convolutions.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2014.
    """
    return _vgg("VGG_ILSVRC_19_layers", VGG19, net, batch, classes, train)


def blocks(net: NetSpec, depths: tuple[int, ...], first_pad: int = 1, fixed: int = 0) -> list[Any]:
    """Add five blocks of convolutions.

    Args:
        net: the net, with the top ``data``.
        depths: number of convolutions per block.
        first_pad: padding of the first convolution.
        fixed: number of blocks that are not trained.

    Returns:
        The pooled top of each block.
    """
    x, tops = net.data, []
    for block, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True), 1):
        for index in range(1, depth + 1):
            pad = first_pad if (block, index) == (1, 1) else 1
            name, param = f"{block}_{index}", FIXED if block <= fixed else LEARNED
            x = convolved(net, f"conv{name}", x, width, 3, pad=pad, relu=f"relu{name}", weights=XAVIER, param=param)
        x = pooled(net, f"pool{block}", x, 2, 2)
        tops.append(x)
    return tops


def _vgg(name: str, depths: tuple[int, ...], net: NetSpec | None, batch: int, classes: int, train: bool) -> NetSpec:
    net = begin(net, name, IMAGE, batch, () if train else None)
    x = blocks(net, depths)[-1]
    for number in (6, 7):
        x = connected(net, f"fc{number}", x, 4096, relu=f"relu{number}", weights=gaussian(0.005), bias=0.1)
        x = dropped(net, f"drop{number}", x)
    return classified(net, connected(net, "fc8", x, classes, weights=gaussian(0.01)), train)
