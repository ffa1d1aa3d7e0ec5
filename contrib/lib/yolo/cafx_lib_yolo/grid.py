"""Predictions on a grid of cells: A boxes per cell, of V values each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text

Indices = npt.NDArray[np.int64]
COORDINATES = 4


def logistic(xp: Any, x: Any) -> Any:
    """σ(x) = 1 / (1 + exp(−x)), without overflow.

    Args:
        xp: the array module of ``x``.
        x: an array.

    Example:
        >>> logistic(np, np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    small = xp.exp(-abs(x))
    return xp.where(x < 0, small, 1) / (1 + small)


def cell_anchors(layer: Layer) -> npt.NDArray[np.float32]:
    """The first num pairs of the option ``biases``: sizes of anchors in cells, num×2.

    Args:
        layer: a layer with the options ``biases``, ``coords`` and ``num`` or ``num_box``.

    Raises:
        CafxError: coords is not 4, or biases has fewer pairs.
    """
    options = layer.options
    needed = 2 * (options.num if hasattr(options, "num") else options.num_box)
    if options.coords != COORDINATES:
        raise layer.error("boxes have four coordinates", found=f"coords: {options.coords}", expected=COORDINATES)
    if len(options.biases) < needed:
        raise layer.error(
            "needs width and height of each anchor", found=f"{len(options.biases)} biases", expected=needed
        )
    return np.array(options.biases[:needed], np.float32).reshape(-1, 2)


def pixel_anchors(layer: Layer, mask: Sequence[int], boxes: int) -> npt.NDArray[np.float32]:
    """The pairs of the option ``biases``: sizes of all anchors in pixels.

    Args:
        layer: a layer with the option ``biases``.
        mask: the anchors of a scale, by index.
        boxes: boxes per cell.

    Raises:
        CafxError: the mask has not an anchor for each box.
    """
    biases = layer.options.biases
    if len(biases) % 2 or len(mask) < boxes or max(mask, default=-1) >= len(biases) // 2:
        raise layer.error(
            "needs an entry of mask for each box of a scale, the index of a pair in biases",
            found=f"mask {list(mask)}, {len(biases)} biases",
            expected=f"{boxes} indices",
        )
    return np.array(biases, np.float32).reshape(-1, 2)


def relative(anchors: npt.NDArray[Any], pixels: float, height: int, width: int) -> npt.NDArray[np.float32]:
    """Sizes relative to an image of height×width cells.

    Args:
        anchors: widths and heights in pixels, A×2.
        pixels: pixels per cell.
        height, width: cells.

    Example:
        >>> relative(np.array([[16, 32]]), 32, 2, 4).tolist()
        [[0.125, 0.5]]
    """
    image = np.float32(pixels) * np.array([max(1, width), max(1, height)], np.float32)
    return anchors.astype(np.float32) / image


@attrs.frozen
class Grid:
    """The predictions in a blob of N images: A boxes of V values at each of H×W cells.

    The blob's shape is N×(A·V)×H×W. The values of a box are x, y, w, h, the objectness and the scores of
    the classes; its centre is ((column + x) / W, (row + y) / H), relative to the image, and its size that
    of its anchor times exp(w), exp(h).

    Attributes:
        images: N.
        anchors: sizes of the A anchors relative to the image, A×2.
        values: V.
        height, width: H and W.
    """

    images: int
    anchors: npt.NDArray[Any]
    values: int
    height: int
    width: int

    @classmethod
    def of(cls, layer: Layer, bottom: Blob, anchors: npt.NDArray[Any], values: int, pixels: float = 1) -> Grid:
        """The grid of a layer's bottom.

        Args:
            layer: the layer, for errors.
            bottom: the predictions.
            anchors: sizes of the anchors, A×2, in pixels of an image that has ``pixels`` per cell.
            values: values per box.
            pixels: pixels per cell; 1 for anchors in units of cells.

        Raises:
            CafxError: the blob has not the shape of such a grid, or there are 0 pixels per cell.
        """
        shape, channels = bottom.shape, len(anchors) * values
        if len(shape) != 4 or shape[1] != channels:
            raise layer.error(
                f"expects {len(anchors)} boxes of {values} values in each cell of bottom '{bottom.name}'",
                found=shape_text(shape),
                expected=f"N×{channels}×H×W",
                remedy="num_output of the convolution before is the number of boxes times (5 + number of classes)",
            )
        if not pixels:
            raise layer.error("anchors_scale is 0", found=0, expected="pixels per cell, at least 1")
        return cls(shape[0], relative(anchors, pixels, *shape[2:]), values, *shape[2:])

    @property
    def shape(self) -> tuple[int, ...]:
        """The predictions with one axis each for boxes and values: N×A×V×H×W."""
        return self.images, len(self.anchors), self.values, self.height, self.width

    def boxes(self, xp: Any, predicted: Any) -> Any:
        """The boxes of some images, as centre and size relative to the image.

        Args:
            xp: the array module.
            predicted: n×A×V×H×W, of which the first four values are x and y after the logistic function, w and h.

        Returns:
            Array n×A×H×W×4 of centre x, centre y, width, height.
        """
        boxes = xp.empty((*predicted.shape[:2], self.height, self.width, 4), predicted.dtype)
        columns = xp.arange(self.width, dtype=predicted.dtype)
        rows = xp.arange(self.height, dtype=predicted.dtype)[:, None]
        sizes = xp.asarray(self.anchors, dtype=predicted.dtype)[:, :, None, None]
        boxes[..., 0] = (predicted[:, :, 0] + columns) / max(1, self.width)
        boxes[..., 1] = (predicted[:, :, 1] + rows) / max(1, self.height)
        boxes[..., 2] = xp.exp(predicted[:, :, 2]) * sizes[:, 0]
        boxes[..., 3] = xp.exp(predicted[:, :, 3]) * sizes[:, 1]
        return boxes

    def boxes_at(self, at: tuple[Indices, Indices, Indices], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The boxes of some predictions, on the host.

        Args:
            at: anchor, row and column of each.
            values: their x, y, w, h before the logistic function, M×4.

        Returns:
            Array M×4 of centre x, centre y, width, height.
        """
        anchors, rows, columns = at
        cells = np.stack([columns, rows], axis=1).astype(values.dtype)
        counts = np.array([max(1, self.width), max(1, self.height)], values.dtype)
        centres = (logistic(np, values[:, :2]) + cells) / counts
        return np.concatenate([centres, np.exp(values[:, 2:]) * self.anchors[anchors]], axis=1)
