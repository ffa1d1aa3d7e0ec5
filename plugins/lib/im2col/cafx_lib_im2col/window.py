"""Geometry of sliding windows, and the conversion between images and columns.

Everything rests on one fact: for a fixed kernel position (a tap), the inputs that all outputs read form
a strided slice of the image. A loop over the few taps therefore replaces a loop over the many outputs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import attrs

Shape = tuple[int, ...]
Slices = tuple[slice, ...]


@attrs.frozen
class Window:
    """A sliding window: tap k of output o reads input o·stride + k·dilation − pad.

    Attributes:
        kernel: number of taps, per spatial axis.
        stride: distance between the windows of neighbouring outputs, per spatial axis.
        pad: zeros before and after the image, per spatial axis.
        dilation: distance between neighbouring taps, per spatial axis.
    """

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """Inputs spanned by the kernel, per axis: dilation · (kernel − 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def outputs(self, inputs: Shape) -> Shape:
        """Number of outputs per axis: (inputs + 2 pad − extent) / stride, rounded towards zero, plus 1."""
        axes = zip(inputs, self.pad, self.extent, self.stride, strict=True)
        return tuple(math.trunc((i + 2 * p - e) / s) + 1 for i, p, e, s in axes)

    def inputs(self, outputs: Shape) -> Shape:
        """Size per axis of the image that these outputs cover: stride · (outputs − 1) + extent − 2 pad."""
        axes = zip(outputs, self.pad, self.extent, self.stride, strict=True)
        return tuple(s * (o - 1) + e - 2 * p for o, p, e, s in axes)

    def taps(self, inputs: Shape, outputs: Shape) -> Iterator[tuple[Shape, Slices, Slices]]:
        """Yield each tap with the outputs that read the image there and the inputs they read."""
        geometry = zip(self.kernel, self.stride, self.pad, self.dilation, inputs, outputs, strict=True)
        for along in itertools.product(*(list(axis_taps(*axis)) for axis in geometry)):
            tap, to, at = zip(*along, strict=True) if along else ((), (), ())
            yield tap, to, at


def axis_taps(
    kernel: int, stride: int, pad: int, dilation: int, inputs: int, outputs: int
) -> Iterator[tuple[int, slice, slice]]:
    """Yield each tap along one axis with the outputs that read the image there and the inputs they read."""
    taps = range(kernel)
    if dilation:  # skip taps that read padding only: a kernel may be far larger than the image
        first_seen = max(0, -(((outputs - 1) * stride - pad) // dilation))
        taps = range(first_seen, min(kernel, -(-(inputs + pad) // dilation)))
    for k in taps:
        offset = k * dilation - pad
        first = max(0, -(offset // stride))
        last = min(outputs, -((offset - inputs) // stride))
        if first < last:
            start = first * stride + offset
            yield k, slice(first, last), slice(start, (last - 1) * stride + offset + 1, stride)


def im2col(images: Any, columns: Any, window: Window) -> None:
    """columns[n, c, k…, o…] = images[n, c, (o·stride + k·dilation − pad)…], 0 outside the image.

    Args:
        images: shape N×C×spatial….
        columns: shape N×C×kernel…×outputs…, with any strides; overwritten.
        window: the sliding window.
    """
    inputs, outputs = images.shape[2:], columns.shape[2 + len(window.kernel) :]
    covered = zip(window.pad, window.inputs(outputs), inputs, strict=True)
    if any(pad or needed > size for pad, needed, size in covered):
        columns[...] = 0
    for tap, to, at in window.taps(inputs, outputs):
        columns[(slice(None), slice(None), *tap, *to)] = images[(..., *at)]


def col2im(columns: Any, images: Any, window: Window) -> None:
    """Adjoint of `im2col`: each image value is the sum of the column values copied from it.

    Args:
        columns: shape N×C×kernel…×outputs…, with any strides.
        images: shape N×C×spatial…; overwritten.
        window: the sliding window.
    """
    images[...] = 0
    inputs, outputs = images.shape[2:], columns.shape[2 + len(window.kernel) :]
    for tap, to, at in window.taps(inputs, outputs):
        part = images[(..., *at)]
        part += columns[(slice(None), slice(None), *tap, *to)]
