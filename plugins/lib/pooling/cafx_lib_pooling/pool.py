"""What every way of pooling offers."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Layer
from cafx_layer_im2col import Window

Shape = tuple[int, ...]


class Pool:
    """One way to make a value of each window of N×C×H×W planes.

    Args:
        layer: whose array module, scratch memory and random stream it uses.
        window: the window.
        inputs, outputs: the planes' two axes, before and after.
    """

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        self.layer, self.window, self.inputs, self.outputs = layer, window, inputs, outputs
        self.xp = layer.xp

    def forward(self, x: Any, y: Any) -> None:
        """Write the windows' values into ``y``."""
        raise NotImplementedError

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """Add the gradient of the planes to ``dx``."""
        raise NotImplementedError
