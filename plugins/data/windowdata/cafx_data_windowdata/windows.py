"""Window files, and cropping and warping of windows."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_lib_feed.images import cv2
from cafx_lib_feed.lists import read_text_list

F = np.float32
CHANNELS = 3
Image = npt.NDArray[Any]


@attrs.frozen
class Window:
    """A window of an image.

    Attributes:
        image: number of the image in the file.
        label: class of the window, 0 for background.
        x1, y1, x2, y2: first and last column and row, inclusive.
    """

    image: int
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


@attrs.frozen(eq=False)
class WindowList:
    """The content of a window file, without windows that are neither foreground nor background.

    Attributes:
        images: paths of the images.
        foreground, background: windows of each kind.
    """

    images: list[str]
    foreground: list[Window]
    background: list[Window]


def read_windows(path: str, root: str, fg_threshold: float, bg_threshold: float) -> WindowList:
    """Read a window file.

    It has for each image the fields ``# number``, path, channels, height, width, number of windows; and for
    each window label, overlap, x1, y1, x2, y2.

    Args:
        path: the file.
        root: prefix of the images' paths.
        fg_threshold: minimum overlap of foreground windows.
        bg_threshold: background windows have less overlap than this.

    Raises:
        CafxError: the file is missing, empty or malformed, or a foreground label is below 1.
    """
    tokens = iter(read_text_list(path, "windows").split())
    windows = WindowList([], [], [])
    for mark in tokens:
        number = len(windows.images)
        where = f"{path}: image {number}"
        try:
            if mark != "#" or int(next(tokens)) != number:
                raise CafxError("images are not numbered in order", where=where, found=mark, expected=f"# {number}")
            name = root + next(tokens)
            channels, _, _, count = (int(next(tokens)) for _ in range(4))
            if channels != CHANNELS:
                raise CafxError("wrong number of channels", where=where, found=channels, expected=CHANNELS)
            windows.images.append(name)
            for _ in range(count):
                label, overlap = int(next(tokens)), F(next(tokens))
                x1, y1, x2, y2 = (int(next(tokens)) for _ in range(4))
                window = Window(number, label, x1, y1, x2, y2)
                _add(windows, window, overlap, (fg_threshold, bg_threshold), where)
        except (StopIteration, RuntimeError, ValueError) as error:
            raise CafxError("the list is truncated, or a field is not a number", where=where) from error
    if not windows.images:
        raise CafxError("the list is empty", where=path)
    return windows


def _add(windows: WindowList, window: Window, overlap: Any, thresholds: tuple[float, float], where: str) -> None:
    """Add a window to the foreground or background, depending on its overlap."""
    foreground, background = F(thresholds[0]), F(thresholds[1])
    if overlap >= foreground:
        if window.label <= 0:
            raise CafxError("a foreground window's label is not positive", where=where, found=window.label)
        windows.foreground.append(window)
    elif overlap < background:
        windows.background.append(attrs.evolve(window, label=0))


def warp(
    image: Image, window: Window, side: int, context_pad: int, square: bool, flip: bool
) -> tuple[Image | None, int, int]:
    """Crop a window with its context and warp it to at most side×side pixels.

    The window is first enlarged to include ``context_pad`` pixels of context on each side after warping. The
    part of it outside the image is dropped; the rest keeps its position in the square.

    Args:
        image: H×W×C pixels.
        window: the window.
        side: side of the square.
        context_pad: pixels of context in the square.
        square: enlarge the window to a square first.
        flip: flip the window horizontally.

    Returns:
        The warped window, or None if it is empty, and the row and column of its place in the square.

    Raises:
        CafxError: without context, the window extends outside the image.
    """
    rows, columns = image.shape[:2]
    x1, y1, x2, y2 = window.x1, window.y1, window.x2, window.y2
    height = width = side
    top = left = 0
    if context_pad > 0 or square:
        x1, y1, x2, y2 = _enlarged(window, F(side) / F(side - 2 * context_pad), square)
        scale_x, scale_y = F(side) / F(x2 - x1 + 1), F(side) / F(y2 - y1 + 1)
        out_left, out_right = max(0, -x1), max(0, x2 - columns + 1)
        out_top, out_bottom = max(0, -y1), max(0, y2 - rows + 1)
        x1, x2, y1, y2 = x1 + out_left, x2 - out_right, y1 + out_top, y2 - out_bottom
        width, height = _round(F(x2 - x1 + 1) * scale_x), _round(F(y2 - y1 + 1) * scale_y)
        top = _round(F(out_top) * scale_y)
        left = _round(F(out_right if flip else out_left) * scale_x)
        height, width = min(height, side - top), min(width, side - left)
    elif not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows):
        raise CafxError(
            "a window extends outside its image", found=f"{x1} {y1} {x2} {y2}", expected=f"within {columns}×{rows}"
        )
    piece = image[y1 : y2 + 1, x1 : x2 + 1]
    if height <= 0 or width <= 0 or not piece.size:
        return None, 0, 0
    piece = cv2().resize(piece, (width, height))
    return (cv2().flip(piece, 1) if flip else piece), top, left


def _enlarged(window: Window, factor: Any, square: bool) -> tuple[int, int, int, int]:
    half_height, half_width = F((window.y2 - window.y1 + 1) / 2), F((window.x2 - window.x1 + 1) / 2)
    middle_x, middle_y = F(window.x1) + half_width, F(window.y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    return (
        _round(middle_x - half_width * factor),
        _round(middle_y - half_height * factor),
        _round(middle_x + half_width * factor),
        _round(middle_y + half_height * factor),
    )


def _round(value: Any) -> int:
    """Round to the nearest integer, halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
