"""Maxima over rectangles of a feature map in constant time each, and their positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx_lib_rcnn import bins, round_away

LOW = 0xFFFFFFFF
NAN = 0x7FC00000


class Keys:
    """Integers that order values as numbers and, among equal values of an image's channel, the first one highest.

    float32 bits, made monotone, fill the upper half of an int64, the complement of the position the lower
    half; values in float64 are replaced by their ranks. NaN is the largest value.

    Args:
        xp: array module.
        x: features N×C×H×W.

    Attributes:
        values: N×H×W×C.
    """

    def __init__(self, xp: Any, x: Any) -> None:
        self.xp, self.positions = xp, x.shape[2] * x.shape[3]
        last = xp.ascontiguousarray(x.transpose(0, 2, 3, 1))
        if x.dtype == np.float32:
            last = last + np.float32(0)  # -0 equals 0
            bits = xp.where(last == last, last.view(np.int32), np.int32(NAN))
            bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
            inverse = LOW - xp.arange(self.positions, dtype=np.int64)
            self.values = (bits.astype(np.int64) << 32) | inverse.reshape(1, *x.shape[2:], 1)
            self.order = None
        else:
            flat = last.reshape(-1)
            self.order = flat.size - 1 - xp.argsort(flat[::-1], kind="stable")
            ranks = xp.empty(flat.size, np.int64)
            ranks[self.order] = xp.arange(flat.size)
            self.values = ranks.reshape(last.shape)
            self.channels = x.shape[1]

    def position(self, keys: Any) -> Any:
        """Where in its channel, h W + w, the value of each key is."""
        if self.order is None:
            return LOW - (keys & LOW)
        return self.order[keys] // self.channels % self.positions


def grids(xp: Any, corners: Any, limits: tuple[int, int], counts: tuple[int, int]) -> tuple[Any, Any]:
    """First and end of the rows, then of the columns, of the bins of regions: each of them R × number of bins.

    Args:
        xp: array module.
        corners: x1, y1, x2 and y2 in pixels of the features, 4×R.
        limits: height and width of the features.
        counts: number of bins from top to bottom, and from left to right.
    """
    left, upper, right, lower = round_away(xp, corners)
    sides = []
    for start, end, limit, count in zip((upper, left), (lower, right), limits, counts, strict=True):
        length = xp.maximum(end - start + 1, 1) / np.float32(count)
        sides.append(bins(xp, xp.zeros_like(start), length, count, limit, start))
    return sides[0], sides[1]


class RangeMaxima:
    """Maxima over any rectangles of images: those of all 2ⁱ×2ʲ windows that are needed, four of which cover one.

    Args:
        xp: array module.
        values: N×H×W×C.
        image: image of each rectangle, R.
        rows, columns: first and last (exclusive) row and column of its bins, R×P and R×Q each.

    Attributes:
        filled: whether each bin has any position, R×P×Q.
    """

    def __init__(self, xp: Any, values: Any, image: Any, rows: tuple[Any, Any], columns: tuple[Any, Any]) -> None:
        self.xp = xp
        images, height, width, channels = values.shape
        levels = max(height, width).bit_length()
        level_of = xp.asarray(np.log2(np.maximum(1, np.arange(max(height, width) + 1))).astype(np.int64))
        row_level, column_level = (level_of[xp.maximum(end - begin, 0)] for begin, end in (rows, columns))
        self.filled = (rows[1] > rows[0])[:, :, None] & (columns[1] > columns[0])[:, None, :]
        pairs = row_level[:, :, None] * levels + column_level[:, None, :]
        needed = [int(pair) for pair in xp.unique(pairs)]
        self.tables = windows(xp, values, [divmod(pair, levels) for pair in needed]).reshape(-1, channels)
        slots = np.zeros(levels * levels, np.int64)
        slots[needed] = np.arange(len(needed)) * images * height * width
        base = xp.asarray(slots)[pairs] + (image * (height * width))[:, None, None]
        tops = (xp.minimum(rows[0], height - 1), xp.maximum(rows[1] - (1 << row_level), 0))
        lefts = (xp.minimum(columns[0], width - 1), xp.maximum(columns[1] - (1 << column_level), 0))
        self.corners = [base + top[:, :, None] * width + left[:, None, :] for top in tops for left in lefts]

    def take(self, part: slice) -> Any:
        """Maxima in the bins of a part of the rectangles, R×P×Q×C; any value for an empty bin."""
        xp = self.xp
        best, *others = (xp.take(self.tables, at[part], axis=0) for at in self.corners)
        for each in others:
            xp.maximum(best, each, out=best)
        return best


def windows(xp: Any, values: Any, needed: list[tuple[int, int]]) -> Any:
    """Maxima of all 2ⁱ×2ʲ windows, by the position of their first corner, for each (i, j) in ``needed``, in order.

    Args:
        xp: array module.
        values: N×H×W×C.
        needed: ascending pairs.
    """
    tables = xp.empty((len(needed), *values.shape), values.dtype)
    tall, height = values, 0
    for row_level in sorted({pair[0] for pair in needed}):
        while height < row_level:
            tall, height = doubled(xp, tall, 1, 1 << height), height + 1
        wide, width = tall, 0
        for slot, pair in enumerate(needed):
            if pair[0] == row_level:
                while width < pair[1]:
                    wide, width = doubled(xp, wide, 2, 1 << width), width + 1
                tables[slot] = wide
    return tables


def doubled(xp: Any, values: Any, axis: int, distance: int) -> Any:
    """Maxima of each value and the one ``distance`` behind it; values near the end are left as they are."""
    if distance >= values.shape[axis]:
        return values
    here = (slice(None),) * axis
    result = values.copy()
    xp.maximum(
        values[(*here, slice(None, -distance))],
        values[(*here, slice(distance, None))],
        out=result[(*here, slice(None, -distance))],
    )
    return result
