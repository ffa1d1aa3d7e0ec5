"""The arithmetic of sliding windows: who meets whom, and images as columns and back.

Everything is built from one fact: seen from one place in the window, the image is a strided slice.
So a loop over the places of a window, which are few, replaces one over its positions, which are many.
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
    """A sliding window, one number a spatial axis: output o sees inputs o·stride + k·dilation − pad.

    Attributes:
        kernel: how many inputs it sees.
        stride: its step from one output to the next.
        pad: how far it may begin before the image, and end behind it.
        dilation: the step from one input seen to the next.
    """

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """What it spans: dilation · (kernel − 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def outputs(self, inputs: Shape) -> Shape:
        """Its positions over an image: (inputs + 2 pad − extent) / stride, cut off, plus 1."""
        axes = zip(inputs, self.pad, self.extent, self.stride, strict=True)
        return tuple(math.trunc((i + 2 * p - e) / s) + 1 for i, p, e, s in axes)

    def inputs(self, outputs: Shape) -> Shape:
        """The image it covers from these positions: stride · (outputs − 1) + extent − 2 pad."""
        axes = zip(outputs, self.pad, self.extent, self.stride, strict=True)
        return tuple(s * (o - 1) + e - 2 * p for o, p, e, s in axes)

    def taps(self, inputs: Shape, outputs: Shape) -> Iterator[tuple[Shape, Slices, Slices]]:
        """Each place in the window, with the outputs and the inputs that meet there."""
        geometry = zip(self.kernel, self.stride, self.pad, self.dilation, inputs, outputs, strict=True)
        for along in itertools.product(*(list(meetings(*axis)) for axis in geometry)):
            places, to, at = zip(*along, strict=True) if along else ((), (), ())
            yield places, to, at


def meetings(
    kernel: int, stride: int, pad: int, dilation: int, inputs: int, outputs: int
) -> Iterator[tuple[int, slice, slice]]:
    """Along one axis: each place k of the window, the outputs that see the image there, the inputs seen."""
    places = range(kernel)
    if dilation:  # places before and behind these see pad alone, however many there are
        first_seen = max(0, -(((outputs - 1) * stride - pad) // dilation))
        places = range(first_seen, min(kernel, -(-(inputs + pad) // dilation)))
    for k in places:
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
        columns: shape N×C×kernel…×outputs…, of any memory layout; written.
        window: the window.
    """
    inputs, outputs = images.shape[2:], columns.shape[2 + len(window.kernel) :]
    covered = zip(window.pad, window.inputs(outputs), inputs, strict=True)
    if any(pad or needed > held for pad, needed, held in covered):
        columns[...] = 0
    for place, to, at in window.taps(inputs, outputs):
        columns[(slice(None), slice(None), *place, *to)] = images[(..., *at)]


def col2im(columns: Any, images: Any, window: Window) -> None:
    """The way back: images = for each place the sum of the column values that stand for it.

    Args:
        columns, images, window: as for `im2col`; here images are written.
    """
    images[...] = 0
    inputs, outputs = images.shape[2:], columns.shape[2 + len(window.kernel) :]
    for place, to, at in window.taps(inputs, outputs):
        seen = images[(..., *at)]
        seen += columns[(slice(None), slice(None), *place, *to)]
