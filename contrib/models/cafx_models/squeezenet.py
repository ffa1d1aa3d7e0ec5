"""SqueezeNet 1.0."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import XAVIER, begin, classified, convolved, dropped, gaussian, pooled

IMAGE = (3, 227, 227)
# squeezed, and expanded by each of two sizes
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
POOL_AFTER = (4, 8)


def squeezenet(net: NetSpec | None = None, *, batch: int = 1, classes: int = 1000, train: bool = False) -> NetSpec:
    """SqueezeNet 1.0: AlexNet's accuracy with a fiftieth of its parameters.

    Source: Iandola and others, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
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
    """Few filters of 1×1, then many of 1×1 and of 3×3 side by side."""
    few = convolved(net, f"{name}/squeeze1x1", bottom, squeezed, 1, relu=f"{name}/relu_squeeze1x1", weights=XAVIER)
    branches = [
        convolved(
            net,
            f"{name}/expand{size}x{size}",
            few,
            expanded,
            size,
            relu=f"{name}/relu_expand{size}x{size}",
            weights=XAVIER,
            **({"pad": 1} if size == 3 else {}),
        )
        for size in (1, 3)
    ]
    net[f"{name}/concat"] = L.Concat(*branches)
    return net[f"{name}/concat"]
