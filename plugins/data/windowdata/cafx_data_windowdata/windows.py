"""Window files."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from cafx.kernel import CafxError
from cafx_lib_feed.lists import read_text_list

F = np.float32
CHANNELS = 3


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

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2."""
        return self.x1, self.y1, self.x2, self.y2


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
