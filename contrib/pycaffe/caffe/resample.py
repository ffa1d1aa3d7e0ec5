"""Resizing images with any number of channels: each axis is resampled by a matrix.

Sample positions and smoothing are those of the scikit-image and SciPy functions that pycaffe calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

Matrix = npt.NDArray[np.floating[Any]]
NEAREST, LINEAR, CUBIC = 0, 1, 3
PADDING = 12
GAUSSIAN_REACH = 4.0


def resize_pixels(image: npt.NDArray[np.float64], shape: tuple[int, int], order: int) -> Matrix:
    """Resize an H×W×C image as skimage.transform.resize does.

    Pixels are areas, the image is surrounded by zeros, and it is smoothed before being reduced in size.

    Args:
        image: the image.
        shape: height and width.
        order: order of the splines: 0, 1 or 3.

    Raises:
        CafxError: another order.
    """
    matrices = []
    for before, after in zip(image.shape, shape, strict=False):
        matrix = interpolation(before, area_positions(before, after), order, zero_outside=True)
        matrices.append(matrix @ smoothing(before, (before / after - 1) / 2))
    return _along_rows_and_columns(image, *matrices)


def resize_points(image: npt.NDArray[np.float64], shape: tuple[int, int], order: int) -> Matrix:
    """Resize an H×W×C image as scipy.ndimage.zoom does.

    Pixels are points; the first and last of each axis keep their positions. Arguments and errors are those
    of `resize_pixels`.
    """
    matrices = [
        interpolation(before, np.linspace(0, before - 1, after), order, zero_outside=False)
        for before, after in zip(image.shape, shape, strict=False)
    ]
    return _along_rows_and_columns(image, *matrices)


def area_positions(before: int, after: int) -> Matrix:
    """The centres of ``after`` pixels in the coordinates of ``before`` pixels of the same total length."""
    return (np.arange(after) + 0.5) * (before / after) - 0.5


def interpolation(count: int, positions: Matrix, order: int, zero_outside: bool) -> Matrix:
    """The matrix that interpolates ``count`` samples at fractional ``positions``.

    Args:
        count: number of samples.
        positions: positions, in units of samples.
        order: order of the splines: 0, 1 or 3.
        zero_outside: samples outside are zero, instead of mirrored.

    Returns:
        Matrix of shape len(positions)×count.

    Raises:
        CafxError: another order.
    """
    if order == NEAREST:
        nearest = np.clip(np.floor(positions + 0.5).astype(int), 0, count - 1)
        selection: Matrix = np.take(np.eye(count), nearest, axis=0)
        return selection
    if order == LINEAR:
        return _weights(count, positions, 1, lambda x: np.maximum(1 - np.abs(x), 0), zero_outside)
    if order != CUBIC:
        where = "caffe.io.resize_image"
        raise CafxError("unsupported interp_order", where=where, found=order, expected="0, 1 or 3")
    padding = PADDING if zero_outside else 0
    size = count + 2 * padding
    spline = _weights(size, positions + padding, 2, _cubic_spline, zero_outside=False)
    matrix: Matrix = spline @ np.linalg.inv(_spline_samples(size))
    return matrix[:, padding : size - padding]


def _weights(
    count: int, positions: Matrix, reach: int, kernel: Callable[[Matrix], Matrix], zero_outside: bool
) -> Matrix:
    """The weights of the samples within ``reach`` of each position; samples outside are zero or mirrored."""
    matrix = np.zeros((len(positions), count))
    base = np.floor(positions).astype(int)
    for offset in range(1 - reach, reach + 1):
        index = base + offset
        weight = kernel(positions - index)
        if zero_outside:
            inside = (index >= 0) & (index < count)
            np.add.at(matrix, (np.flatnonzero(inside), index[inside]), weight[inside])
        else:
            np.add.at(matrix, (np.arange(len(positions)), _mirrored(index, count)), weight)
    return matrix


def _cubic_spline(x: Matrix) -> Matrix:
    """The cubic B-spline."""
    distance = np.abs(x)
    near = 2 / 3 - distance**2 + distance**3 / 2
    return np.where(distance < 1, near, np.maximum(2 - distance, 0) ** 3 / 6)


def _spline_samples(count: int) -> Matrix:
    """The matrix from a spline's coefficients to its values at the knots, with mirrored ends."""
    return _weights(count, np.arange(count, dtype=float), 2, _cubic_spline, zero_outside=False)


def _mirrored(index: npt.NDArray[np.int_], count: int) -> npt.NDArray[np.int_]:
    period = max(2 * count - 2, 1)
    wrapped = np.abs(index) % period
    return np.where(wrapped >= count, period - wrapped, wrapped)


def smoothing(count: int, sigma: float) -> Matrix:
    """The matrix of a Gaussian filter on ``count`` samples; samples outside are zero."""
    if sigma <= 0:
        return np.eye(count)
    reach = int(GAUSSIAN_REACH * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    distance = np.subtract.outer(np.arange(count), np.arange(count))
    kernel = np.zeros(2 * max(reach, count) + 1)
    kernel[offsets + max(reach, count)] = weights / weights.sum()
    matrix: Matrix = kernel[distance + max(reach, count)]
    return matrix


def _along_rows_and_columns(image: npt.NDArray[np.float64], rows: Matrix, columns: Matrix) -> Matrix:
    resampled = np.tensordot(rows, image, (1, 0))
    return np.tensordot(columns, resampled, (1, 1)).transpose(1, 0, 2)
