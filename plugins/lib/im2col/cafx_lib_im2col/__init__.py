"""Im2col, and what the other layers that slide a window share with it."""

from cafx_layer_im2col.layer import Im2col
from cafx_layer_im2col.options import ConvolutionParameter, positions, read_window
from cafx_layer_im2col.sliding import SlidingLayer
from cafx_layer_im2col.window import Window, col2im, im2col, meetings

__all__ = [
    "ConvolutionParameter", "Im2col", "SlidingLayer", "Window",
    "col2im", "im2col", "meetings", "positions", "read_window",
]  # fmt: skip
