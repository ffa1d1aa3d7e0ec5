"""Sliding windows: geometry, columns, options, and the base class of Convolution and Deconvolution."""

from cafx_lib_im2col.options import ConvolutionParameter, checked_outputs, read_window
from cafx_lib_im2col.sliding import SlidingLayer
from cafx_lib_im2col.window import Shape, Window, axis_taps, col2im, im2col

__all__ = [
    "ConvolutionParameter",
    "Shape",
    "SlidingLayer",
    "Window",
    "axis_taps",
    "checked_outputs",
    "col2im",
    "im2col",
    "read_window",
]
