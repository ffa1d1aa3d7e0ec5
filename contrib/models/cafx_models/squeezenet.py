"""SqueezeNet 1.0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import XAVIER, begin, classified, convolved, dropped, gaussian, pooled

if TYPE_CHECKING:
    from cafx.conformance.kinds.model import ModelCase

IMAGE = (3, 227, 227)
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Outputs of the squeeze layer and of each expand layer, by module."""
POOL_AFTER = (4, 8)


def squeezenet(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """SqueezeNet 1.0: the accuracy of AlexNet with a fiftieth of its parameters.

    Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
    <0.5MB model size", 2016.
    """
    net = begin(net, "SqueezeNet", IMAGE, batch, () if train else None)
    x = convolved(net, "conv1", net.data, 96, 7, relu="relu_conv1", weights=XAVIER, stride=2)
    x = pooled(net, "pool1", x, 3, 2)
    for number, (squeezed, expanded) in FIRES.items():
        x = _fire(net, f"fire{number}", x, squeezed, expanded)
        if number in POOL_AFTER:
            x = pooled(net, f"pool{number}", x, 3, 2)
    x = dropped(net, "drop9", x)
    x = convolved(net, "conv10", x, classes, 1, relu="relu_conv10", weights=gaussian(0.01), pad=1)
    net.pool10 = L.Pooling(x, pool="AVE", global_pooling=True)
    return classified(net, net.pool10, train)


def _fire(net: NetSpec, name: str, bottom: Any, squeezed: int, expanded: int) -> Any:
    """A fire module: a 1×1 squeeze layer, then parallel 1×1 and 3×3 expand layers."""

    def conv(what: str, below: Any, outputs: int, kernel: int, **options: Any) -> Any:
        relu = f"{name}/relu_{what}"
        return convolved(net, f"{name}/{what}", below, outputs, kernel, relu=relu, weights=XAVIER, **options)

    squeeze = conv("squeeze1x1", bottom, squeezed, 1)
    branches = conv("expand1x1", squeeze, expanded, 1), conv("expand3x3", squeeze, expanded, 3, pad=1)
    net[f"{name}/concat"] = L.Concat(*branches)
    return net[f"{name}/concat"]


def cases() -> Iterable[ModelCase]:
    """A net that runs in a moment."""
    from cafx.conformance.kinds.model import ModelCase

    yield ModelCase("small", {}, of="squeezenet", parameters=1_248_424)
