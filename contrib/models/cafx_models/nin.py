"""Network in Network."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx_models.parts import begin, classified, convolved, dropped, gaussian, pooled

IMAGE = (3, 224, 224)


def nin(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """Network in Network: each convolution is followed by two 1×1 convolutions, the last of which are scores.

    Source: Lin, Chen and Yan, "Network In Network", 2013; the authors' model for ImageNet.
    """
    net = begin(net, "nin_imagenet", IMAGE, batch, () if train else None)
    wide = gaussian(0.05)
    x = _block(net, 1, net.data, 96, 11, weights=gaussian(0.01), stride=4)
    x = _block(net, 2, pooled(net, "pool0", x, 3, 2), 256, 5, weights=wide, pad=2)
    x = _block(net, 3, pooled(net, "pool2", x, 3, 2), 384, 3, weights=gaussian(0.01), pad=1)
    x = dropped(net, "drop", pooled(net, "pool3", x, 3, 2))
    x = convolved(net, "conv4-1024", x, 1024, 3, relu="relu7", weights=wide, pad=1)
    x = convolved(net, "cccp7-1024", x, 1024, 1, relu="relu8", weights=wide)
    x = convolved(net, "cccp8-1024", x, classes, 1, relu="relu9", weights=gaussian(0.01))
    net.pool4 = pooled(net, "pool4", x, 6, 1, pool="AVE")
    return classified(net, net.pool4, train)


def _block(net: NetSpec, number: int, bottom: Any, outputs: int, kernel: int, **options: Any) -> Any:
    """A convolution followed by two 1×1 convolutions."""
    first = 2 * number - 1
    x = convolved(net, f"conv{number}", bottom, outputs, kernel, relu=f"relu{number - 1}", **options)
    for index in (first, first + 1):
        x = convolved(net, f"cccp{index}", x, outputs, 1, relu=f"relu_cccp{index}", weights=gaussian(0.05))
    return x
