"""Windows of images, cropped with their context and warped, as R-CNN trains on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_lib_feed.images import resize

F = np.float32
Image = npt.NDArray[Any]
Corners = tuple[int, int, int, int]


def warp(
    image: Image,
    corners: Corners,
    size: tuple[int, int],
    context_pad: int = 0,
    square: bool = False,
    flip: bool = False,
    resized: Callable[[Image, int, int], Image] = resize,
) -> tuple[Image | None, int, int]:
    """Crop a window with its context and warp it to a size.

    The window is first enlarged to include ``context_pad`` pixels of context on each side after warping. The
    part of it outside the image is dropped; the rest keeps its position in the result.

    Args:
        image: H×W×C pixels.
        corners: x1, y1, x2, y2: first and last column and row of the window, inclusive.
        size: height and width to warp to; each more than twice ``context_pad``.
        context_pad: pixels of context on each side, in the result.
        square: enlarge the window to a square first.
        flip: flip the window horizontally.
        resized: how pixels are resized, to a height and a width.

    Returns:
        The warped window, h×w×C with h and w of at most ``size``, or None if nothing of it is in the image; and the
        row and column of its place in the result.

    Raises:
        CafxError: without context, the window extends outside the image.

    Source: Girshick et al., "Rich feature hierarchies for accurate object detection", 2014; Caffe's WindowDataLayer.

    Example:
        >>> image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
        >>> piece, top, left = warp(image, (0, 0, 1, 1), (4, 4), context_pad=1)
        >>> piece.shape, top, left
        ((3, 3, 1), 1, 1)
    """
    rows, columns = image.shape[:2]
    x1, y1, x2, y2 = corners
    height, width = size
    top = left = 0
    if context_pad > 0 or square:
        factors = (F(width) / F(width - 2 * context_pad), F(height) / F(height - 2 * context_pad))
        x1, y1, x2, y2 = _enlarged(corners, factors, square)
        scale_x, scale_y = F(width) / F(x2 - x1 + 1), F(height) / F(y2 - y1 + 1)
        out_left, out_right = max(0, -x1), max(0, x2 - columns + 1)
        out_top, out_bottom = max(0, -y1), max(0, y2 - rows + 1)
        x1, x2, y1, y2 = x1 + out_left, x2 - out_right, y1 + out_top, y2 - out_bottom
        inner_width, inner_height = _round(F(x2 - x1 + 1) * scale_x), _round(F(y2 - y1 + 1) * scale_y)
        top = _round(F(out_top) * scale_y)
        left = _round(F(out_right if flip else out_left) * scale_x)
        height, width = min(inner_height, height - top), min(inner_width, width - left)
    elif not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows):
        raise CafxError(
            "a window extends outside its image", found=f"{x1} {y1} {x2} {y2}", expected=f"within {columns}×{rows}"
        )
    piece = image[y1 : y2 + 1, x1 : x2 + 1]
    if height <= 0 or width <= 0 or not piece.size:
        return None, 0, 0
    piece = resized(piece, height, width)
    return (np.ascontiguousarray(piece[:, ::-1]) if flip else piece), top, left


def _enlarged(corners: Corners, factors: tuple[Any, Any], square: bool) -> Corners:
    x1, y1, x2, y2 = corners
    half_height, half_width = F((y2 - y1 + 1) / 2), F((x2 - x1 + 1) / 2)
    middle_x, middle_y = F(x1) + half_width, F(y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    return (
        _round(middle_x - half_width * factors[0]),
        _round(middle_y - half_height * factors[1]),
        _round(middle_x + half_width * factors[0]),
        _round(middle_y + half_height * factors[1]),
    )


def _round(value: Any) -> int:
    """Round to the nearest integer, halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
