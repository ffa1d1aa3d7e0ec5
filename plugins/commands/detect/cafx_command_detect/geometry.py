"""Windows as inputs of the net, box regression, and non-maximum suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import CafxError
from cafx_lib_feed.windows import warp

if TYPE_CHECKING:
    from cafx_lib_inputs import Scorer

MOST_MOVE = 4.0
"""Greatest offset in sizes of the window, and greatest change of the logarithm of a size, by box regression."""


def warped(image: Any, window: Any, scorer: Scorer, pad: int, square: bool = False) -> Any:
    """The net's input for a window and its context; what lies beyond the border is zero there, that is, the mean.

    Args:
        image: uint8 pixels, H×W×C.
        window: ymin, xmin, ymax, xmax.
        scorer: the net, and how images become its input.
        pad: context on each side, in pixels of the net's input.
        square: warp the square around the window.

    Raises:
        CafxError: the context is larger than the net's input.
    """
    size = (scorer.height, scorer.width)
    if 2 * pad >= min(size):
        found, least = f"--pad {pad} on each side of {size[0]}×{size[1]}", (min(size) - 1) // 2
        raise CafxError("the context leaves no room for a window", found=found, remedy=f"--pad N with N up to {least}")
    top, left, bottom, right = (int(corner) for corner in window)
    converter = scorer.converter
    piece, y, x = warp(
        image,
        (left, top, right - 1, bottom - 1),
        size,
        pad,
        square,
        resized=lambda pixels, height, width: converter.resized(pixels, (height, width)),
    )
    whole = np.zeros((*size, image.shape[2]), image.dtype if piece is None else piece.dtype)
    inside = np.zeros(size, bool)
    if piece is not None:
        area = (slice(y, y + piece.shape[0]), slice(x, x + piece.shape[1]))
        whole[area], inside[area] = piece, True
    prepared = scorer.prepare(whole)
    prepared[(..., ~inside) if scorer.preprocessing.layout == "CHW" else ~inside] = 0
    return prepared


def moved(windows: Any, moves: Any, limits: tuple[int, int]) -> Any:
    """Windows after box regression, cut at the border of the image.

    Args:
        windows: N×4 array of ymin, xmin, ymax, xmax.
        moves: N×4 array of dx, dy, dw, dh: the centre moves by dx widths and dy heights, and width and height are
            multiplied by exp(dw) and exp(dh).
        limits: height and width of the image.

    Returns:
        Whole numbers of the windows' shape; no window is empty.

    Source: Girshick et al., "Rich feature hierarchies for accurate object detection", 2014, appendix C.

    Example:
        >>> import numpy as np
        >>> moved(np.array([[10, 10, 20, 30]]), np.array([[0.1, 0, 0, np.log(2)]]), (100, 100))
        array([[ 5, 12, 25, 32]])
    """
    size = (windows[:, 2:] - windows[:, :2]).astype(float)
    bounded = np.clip(np.nan_to_num(np.asarray(moves, float)), -MOST_MOVE, MOST_MOVE)
    offsets, growth = bounded[:, 1::-1], np.exp(bounded[:, 3:1:-1])
    centre = windows[:, :2] + size / 2 + offsets * size
    half = size * growth / 2
    first = np.clip(np.round(centre - half), 0, np.subtract(limits, 1)).astype(int)
    last = np.clip(np.round(centre + half), first + 1, limits).astype(int)
    return np.concatenate([first, last], axis=1)


def strongest(windows: Any, scores: Any, threshold: float, overlap: float) -> list[int]:
    """Non-maximum suppression: the windows left when those that overlap a better one are removed.

    Args:
        windows: N×4 array of ymin, xmin, ymax, xmax.
        scores: score of each window.
        threshold: least score.
        overlap: greatest intersection over union with a better window.

    Returns:
        Numbers of windows, the best first.

    Example:
        >>> import numpy as np
        >>> windows = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
        >>> strongest(windows, np.array([0.8, 0.9, 0.7]), threshold=0.5, overlap=0.3)
        [1, 2]
    """
    order = [index for index in np.argsort(-scores, kind="stable") if scores[index] >= threshold]
    area = (windows[:, 2:] - windows[:, :2]).prod(1)
    kept: list[int] = []
    for index in order:
        sides = np.minimum(windows[kept, 2:], windows[index, 2:]) - np.maximum(windows[kept, :2], windows[index, :2])
        shared = np.clip(sides, 0, None).prod(1)
        if not (shared > overlap * (area[kept] + area[index] - shared)).any():
            kept.append(int(index))
    return kept
