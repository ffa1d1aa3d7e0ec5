"""Windows into images: the list they come from, and how one is cut out and warped."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.schema import read_file
from cafx_lib_feed.images import cv2

F = np.float32
CHANNELS = 3
Image = npt.NDArray[Any]


@attrs.frozen
class Window:
    """A window: its image's number, its class, and first and last column and row."""

    image: int
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


@attrs.frozen(eq=False)
class WindowList:
    """What a window file says; the windows of neither kind are left out."""

    images: list[str]
    foreground: list[Window]
    background: list[Window]


def read_windows(path: str, root: str, fg_threshold: float, bg_threshold: float) -> WindowList:
    """A window file: for each image ``# number``, path, channels, height, width, count, windows."""
    tokens = iter(read_file(path).decode("utf-8", "surrogateescape").split())
    listed = WindowList([], [], [])
    for mark in tokens:
        number = len(listed.images)
        where = f"{path}: image {number}"
        try:
            if mark != "#" or int(next(tokens)) != number:
                raise CafxError("is not where it should be", where=where, found=mark, expected=f"# {number}")
            name = root + next(tokens)
            channels, _, _, count = (int(next(tokens)) for _ in range(4))
            if channels != CHANNELS:
                raise CafxError("has another number of channels", where=where, found=channels, expected=3)
            listed.images.append(name)
            for _ in range(count):
                label, overlap = int(next(tokens)), F(next(tokens))
                x1, y1, x2, y2 = (int(next(tokens)) for _ in range(4))
                window = Window(number, label, x1, y1, x2, y2)
                _sort(listed, window, overlap, (fg_threshold, bg_threshold), where)
        except (StopIteration, RuntimeError, ValueError) as error:
            raise CafxError("the list breaks off, or holds what is no number", where=where) from error
    if not listed.images:
        raise CafxError("the list is empty", where=path)
    return listed


def _sort(listed: WindowList, window: Window, overlap: Any, thresholds: tuple[float, float], where: str) -> None:
    """Put a window where it belongs."""
    foreground, background = F(thresholds[0]), F(thresholds[1])
    if overlap >= foreground:
        if window.label <= 0:
            raise CafxError("a foreground window's label is not positive", where=where, found=window.label)
        listed.foreground.append(window)
    elif overlap < background:
        listed.background.append(attrs.evolve(window, label=0))


def warp(
    image: Image, window: Window, side: int, context_pad: int, square: bool, flip: bool
) -> tuple[Image | None, int, int]:
    """The window, with its context, warped to at most side×side; and the row and column it goes to.

    The window grows until, warped, ``context_pad`` pixels lie around it. What of that lies outside
    the image is left out: the part within takes its share of the square.
    """
    rows, columns = image.shape[:2]
    x1, y1, x2, y2 = window.x1, window.y1, window.x2, window.y2
    height = width = side
    top = left = 0
    if context_pad > 0 or square:
        x1, y1, x2, y2 = _grown(window, F(side) / F(side - 2 * context_pad), square)
        across, down = F(side) / F(x2 - x1 + 1), F(side) / F(y2 - y1 + 1)
        out_left, out_right = max(0, -x1), max(0, x2 - columns + 1)
        out_top, out_bottom = max(0, -y1), max(0, y2 - rows + 1)
        x1, x2, y1, y2 = x1 + out_left, x2 - out_right, y1 + out_top, y2 - out_bottom
        width, height = _round(F(x2 - x1 + 1) * across), _round(F(y2 - y1 + 1) * down)
        top = _round(F(out_top) * down)
        left = _round(F(out_right if flip else out_left) * across)
        height, width = min(height, side - top), min(width, side - left)
    elif not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows):
        raise CafxError(
            "a window lies outside its image", found=f"{x1} {y1} {x2} {y2}",
            expected=f"within {columns}×{rows}",
        )  # fmt: skip
    piece = image[y1 : y2 + 1, x1 : x2 + 1]
    if height <= 0 or width <= 0 or not piece.size:
        return None, 0, 0
    piece = cv2().resize(piece, (width, height))
    return (cv2().flip(piece, 1) if flip else piece), top, left


def _grown(window: Window, factor: Any, square: bool) -> tuple[int, int, int, int]:
    half_height, half_width = F((window.y2 - window.y1 + 1) / 2), F((window.x2 - window.x1 + 1) / 2)
    middle_x, middle_y = F(window.x1) + half_width, F(window.y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    return (
        _round(middle_x - half_width * factor), _round(middle_y - half_height * factor),
        _round(middle_x + half_width * factor), _round(middle_y + half_height * factor),
    )  # fmt: skip


def _round(value: Any) -> int:
    """To the nearest whole number, halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
