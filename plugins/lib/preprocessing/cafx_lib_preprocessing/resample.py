"""Resizing images with any number of channels: each axis is resampled by a matrix.

Sample positions and smoothing are those of the scikit-image (0.19) and SciPy functions that pycaffe calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

Matrix = npt.NDArray[np.floating[Any]]
Conversion = Callable[[npt.NDArray[Any]], Matrix]
NEAREST, LINEAR, CUBIC = 0, 1, 3
PADDING = 12
GAUSSIAN_REACH = 4.0
BLOCK = 16
"""Rows of a result that are computed at a time."""
SIZES = 16
"""Pairs of lengths whose matrices are kept."""


@attrs.frozen(eq=False)
class Bands:
    """A matrix by blocks of its rows, without the zeros beside each block.

    Attributes:
        count: number of rows.
        blocks: which rows, their weights, and which samples they weigh.
    """

    count: int
    blocks: list[tuple[slice, Matrix, slice]]

    @classmethod
    def of(cls, matrix: Matrix) -> Bands:
        """The blocks of a matrix."""
        used = matrix != 0
        first, last = used.argmax(1), used.shape[1] - used[:, ::-1].argmax(1)
        blocks = []
        for begin in range(0, len(matrix), BLOCK):
            part = slice(begin, min(begin + BLOCK, len(matrix)))
            samples = slice(int(first[part].min()), int(last[part].max()))
            blocks.append((part, matrix[part, samples].copy(), samples))
        return cls(len(matrix), blocks)


def resize_image(
    im: npt.NDArray[Any], new_dims: Sequence[int], interp_order: int = 1, white: float | None = None
) -> npt.NDArray[np.float32]:
    """Resize an H×W×C image as pycaffe's ``caffe.io.resize_image`` does.

    Args:
        im: the image.
        new_dims: height and width.
        interp_order: order of the interpolating splines: 0 (nearest), 1 (linear) or 3 (cubic).
        white: divisor of all values, in float32: the result is that for ``im.astype(float32) / white``, which takes
            less memory. None for none.

    Raises:
        CafxError: another order.
    """
    rows, columns = (int(length) for length in new_dims[:2])
    if im.shape[-1] not in (1, 3):
        return resize_points(_float64(im, white), (rows, columns), interp_order).astype(np.float32)
    low, high = (float(_float64(im.min(), white)), float(_float64(im.max(), white)))
    if high <= low:
        return np.full((rows, columns, im.shape[-1]), low, np.float32)
    resized = resize_pixels(im, (rows, columns), interp_order, low, high, white)
    restored: Matrix = np.clip(resized, 0, 1) * (high - low) + low
    return restored.astype(np.float32)


def resize_pixels(
    image: npt.NDArray[Any],
    shape: tuple[int, int],
    order: int,
    low: float = 0.0,
    high: float = 1.0,
    white: float | None = None,
) -> Matrix:
    """Resize an H×W×C image as skimage.transform.resize does.

    Pixels are areas, the image is surrounded by zeros, and it is smoothed before being reduced in size.

    Args:
        image: the image.
        shape: height and width.
        order: order of the splines: 0, 1 or 3.
        low, high: values that become 0 and 1 before.
        white: divisor of all values before that, see `resize_image`.

    Raises:
        CafxError: another order.
    """
    rows, columns = (_area_bands(*lengths, order) for lengths in zip(image.shape, shape, strict=False))

    def converted(samples: npt.NDArray[Any]) -> Matrix:
        values = _float64(samples, white)
        return values if (low, high) == (0.0, 1.0) else (values - low) / (high - low)

    return _resampled(image, rows, columns, converted)


def resize_points(image: npt.NDArray[np.float64], shape: tuple[int, int], order: int) -> Matrix:
    """Resize an H×W×C image as scipy.ndimage.zoom does.

    Pixels are points; the first and last of each axis keep their positions. Arguments and errors are those
    of `resize_pixels`.
    """
    matrices = [
        interpolation(before, np.linspace(0, before - 1, after), order, zero_outside=False)
        for before, after in zip(image.shape, shape, strict=False)
    ]
    return _resampled(image, *map(Bands.of, matrices), lambda samples: _float64(samples, None))


@functools.lru_cache(SIZES)
def _area_bands(before: int, after: int, order: int) -> Bands:
    return Bands.of(_area_matrix(before, after, order))


def _area_matrix(before: int, after: int, order: int) -> Matrix:
    """The matrix that smooths ``before`` samples and interpolates ``after`` of them."""
    sigma, positions = (before / after - 1) / 2, area_positions(before, after)
    if order != LINEAR or sigma <= 0:
        return interpolation(before, positions, order, zero_outside=True) @ smoothing(before, sigma)
    base = np.floor(positions).astype(int)
    share = (positions - base)[:, None]
    return (1 - share) * _gaussians(base, before, sigma) + share * _gaussians(base + 1, before, sigma)


def _gaussians(rows: npt.NDArray[np.int_], count: int, sigma: float) -> Matrix:
    """These rows of `smoothing`'s matrix; those of samples outside are zero."""
    reach = int(GAUSSIAN_REACH * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    distance = np.abs(np.subtract.outer(rows, np.arange(count)))
    kernel = np.append((weights / weights.sum())[reach:], 0.0)
    inside = ((rows >= 0) & (rows < count))[:, None]
    return np.where(inside, kernel[np.minimum(distance, reach + 1)], 0.0)


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


def _resampled(image: npt.NDArray[Any], rows: Bands, columns: Bands, converted: Conversion) -> Matrix:
    """An H×W×C image times a matrix along each axis, with samples converted a block at a time: photos are large."""
    _, width, channels = image.shape
    lines = np.empty((channels, rows.count, width))
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    for plane, target in zip(planes, lines, strict=True):
        for part, weights, samples in rows.blocks:
            np.matmul(weights, converted(plane[samples]), out=target[part])
    across = np.empty((channels * rows.count, columns.count))
    lines = lines.reshape(-1, width)
    for part, weights, samples in columns.blocks:
        across[:, part] = lines[:, samples] @ weights.T
    return across.reshape(channels, rows.count, -1).transpose(1, 2, 0)


def _float64(values: Any, white: float | None) -> Any:
    return np.asarray(values if white is None else np.asarray(values, np.float32) / np.float32(white), np.float64)
