"""Pool: the interface of a pooling method."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Layer
from cafx_lib_im2col import Shape, Window

__all__ = ["Pool", "Shape"]


class Pool:
    """One pooling method over the planes of N×C×H×W arrays.

    Args:
        layer: supplies array module, scratch buffers and random stream.
        window: the sliding window.
        inputs: height and width of the planes.
        outputs: height and width of the pooled planes.
    """

    def __init__(self, layer: Layer, window: Window, inputs: Shape, outputs: Shape) -> None:
        self.layer, self.window, self.inputs, self.outputs = layer, window, inputs, outputs
        self.xp = layer.xp

    def forward(self, x: Any, y: Any) -> None:
        """Write the pooled values to ``y``."""
        raise NotImplementedError

    def backward(self, x: Any, dy: Any, dx: Any) -> None:
        """Add the input gradient to ``dx``."""
        raise NotImplementedError
