"""Two-dimensional convolutions and their gradients by NumPy: im2col and matrix products.

Arrays are N, C, H, W and K, C / groups, R, S; groups follow from the channels of the image and the weights.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Pair = tuple[int, int]
BUFFER_VALUES = 1 << 24


@attrs.frozen
class Window:
    """How a filter moves over an image: padding before and after, stride and dilation, each for height and width."""

    before: Pair
    after: Pair
    stride: Pair
    dilation: Pair

    def out(self, image: Pair, kernel: Pair) -> Pair:
        """The size of the result.

        Example:
            >>> Window((1, 1), (1, 1), (2, 2), (1, 1)).out((7, 8), (3, 3))
            (4, 4)
        """
        height, width = (
            (image[axis] + self.before[axis] + self.after[axis] - self.dilation[axis] * (kernel[axis] - 1) - 1)
            // self.stride[axis]
            + 1
            for axis in (0, 1)
        )
        return height, width

    def pad(self, image: Floats) -> Floats:
        """The image with zeros around it."""
        borders = [(0, 0), (0, 0), *zip(self.before, self.after, strict=True)]
        return np.pad(image, borders)

    def taps(self, padded: Floats, kernel: Pair, out: Pair) -> Floats:
        """A view (N, C, R, S, OH, OW): the value under each filter position for each output position."""
        batch, channels, row, column = padded.strides
        (down, across), (below, beside) = self.stride, self.dilation
        strides = (batch, channels, row * below, column * beside, row * down, column * across)
        return np.lib.stride_tricks.as_strided(padded, (*padded.shape[:2], *kernel, *out), strides)


def forward(image: Floats, weight: Floats, window: Window) -> Floats:
    """The convolution (cross-correlation) of an image with filters."""
    filters, depth, *kernel = weight.shape
    groups, size = image.shape[1] // depth, (kernel[0], kernel[1])
    out = window.out(spatial(image), size)
    rows = weight.reshape(groups, filters // groups, -1)
    result = np.empty((len(image), filters, *out), image.dtype)
    for part in batches(image, size, out):
        columns = window.taps(window.pad(image[part]), size, out)
        flat = columns.reshape(len(columns), groups, rows.shape[2], out[0] * out[1])
        result[part] = np.matmul(rows, flat).reshape(len(columns), filters, *out)
    return result


def backward_data(loss: Floats, weight: Floats, image: tuple[int, ...], window: Window) -> Floats:
    """The gradient with respect to an image of shape ``image``, from the gradient with respect to the result."""
    filters, depth, *kernel = weight.shape
    batch, channels, height, width = image
    out, groups = loss.shape[2:], channels // depth
    rows = weight.reshape(groups, filters // groups, -1).transpose(0, 2, 1)
    columns = np.matmul(rows, loss.reshape(batch, groups, filters // groups, -1))
    columns = columns.reshape(batch, channels, *kernel, *out)
    padded = window.pad(np.zeros(image, loss.dtype))
    view = window.taps(padded, (kernel[0], kernel[1]), (out[0], out[1]))
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            view[:, :, row, column] += columns[:, :, row, column]
    top, left = window.before
    return padded[:, :, top : top + height, left : left + width]


def backward_weight(image: Floats, loss: Floats, weight: tuple[int, ...], window: Window) -> Floats:
    """The gradient with respect to filters of shape ``weight``."""
    filters, depth, *kernel = weight
    groups, size, out = image.shape[1] // depth, (kernel[0], kernel[1]), spatial(loss)
    result = np.zeros((groups, filters // groups, depth * kernel[0] * kernel[1]), image.dtype)
    for part in batches(image, size, out):
        columns = window.taps(window.pad(image[part]), size, out)
        flat = columns.reshape(len(columns), groups, result.shape[2], -1)
        rows = loss[part].reshape(len(columns), groups, filters // groups, -1)
        result += np.matmul(rows, flat.transpose(0, 1, 3, 2)).sum(axis=0)
    return result.reshape(weight)


def spatial(array: Floats) -> Pair:
    """Height and width."""
    return array.shape[2], array.shape[3]


def batches(image: Floats, kernel: Pair, out: Pair) -> list[slice]:
    """Slices of the batch whose columns fit into a buffer."""
    each = image.shape[1] * kernel[0] * kernel[1] * out[0] * out[1]
    size = max(1, BUFFER_VALUES // each)
    return [slice(start, start + size) for start in range(0, len(image), size)]
