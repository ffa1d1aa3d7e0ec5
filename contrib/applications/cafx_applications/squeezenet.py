"""SqueezeNet 1.0 without its classifier, with the layer names of the weights that `datasets.squeezenet` finds."""

from __future__ import annotations

from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L

MEAN = (104, 117, 123)
"""Of ImageNet, blue first."""
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Outputs of the 1×1 convolution that squeezes, and of each of the two that expand, by fire module."""
POOL_AFTER = (4, 8)


def trunk(net: NetSpec, bottom: Any, lr_mult: float = 1) -> Any:
    """Add SqueezeNet's convolutions; returns the last top, ``fire9/concat``, of 512 channels.

    Args:
        net: the net.
        bottom: images, N×3×H×W, blue first, 0 to 255, minus `MEAN`.
        lr_mult: learning rate multiplier of all weights; twice that for biases.

    Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016.

    Example:
        >>> net = NetSpec("features")
        >>> net.data = L.Input(shape=[1, 3, 227, 227])
        >>> trunk(net, net.data) is net["fire9/concat"]
        True
    """
    param = [{"lr_mult": lr_mult}, {"lr_mult": 2 * lr_mult}]

    def convolved(name: str, relu: str, below: Any, outputs: int, kernel: int, **more: Any) -> Any:
        net[name] = L.Convolution(
            below, num_output=outputs, kernel_size=kernel, param=param, weight_filler={"type": "xavier"}, **more
        )
        net[relu] = L.ReLU(net[name], in_place=True)
        return net[relu]

    x = convolved("conv1", "relu_conv1", bottom, 96, 7, stride=2)
    net.pool1 = x = L.Pooling(x, pool="MAX", kernel_size=3, stride=2)
    for number, (squeezed, expanded) in FIRES.items():
        fire = f"fire{number}"
        x = convolved(f"{fire}/conv1x1_1", f"{fire}/relu_conv1x1_1", x, squeezed, 1)
        narrow = convolved(f"{fire}/conv1x1_2", f"{fire}/relu_conv1x1_2", x, expanded, 1)
        wide = convolved(f"{fire}/conv3x3_2", f"{fire}/relu_conv3x3_2", x, expanded, 3, pad=1)
        net[f"{fire}/concat"] = x = L.Concat(narrow, wide)
        if number in POOL_AFTER:
            net[f"pool{number}"] = x = L.Pooling(x, pool="MAX", kernel_size=3, stride=2)
    return x
