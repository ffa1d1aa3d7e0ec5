"""The positions in many rectangles as one list."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np


@attrs.frozen(eq=False)
class Part:
    """Rectangles that are not empty, and all their positions, one rectangle after the other.

    Attributes:
        regions, bins: region of each rectangle, and its bin in the region.
        sizes: number of positions of each.
        starts: index of the first of them in ``positions``.
        owners: index of the rectangle that each position is in.
        positions: flat indices in N×bins×H×W.
    """

    regions: Any
    bins: Any
    sizes: Any
    starts: Any
    owners: Any
    positions: Any


def parts_of(xp: Any, rectangles: Any, bins: int, shape: tuple[int, int], most: int) -> list[Part]:
    """All rectangles that are not empty, in parts of about ``most`` positions.

    Args:
        xp: array module.
        rectangles: image, first and last (exclusive) row, first and last column of each bin of each region,
            5×(R·bins).
        bins: number of bins of a region.
        shape: H and W.
        most: how many positions a part should have.
    """
    sizes = xp.maximum(rectangles[2] - rectangles[1], 0) * xp.maximum(rectangles[4] - rectangles[3], 0)
    count = int(sizes.sum()) // max(1, most) + 1
    chosen = (each for each in xp.array_split(xp.flatnonzero(sizes), count) if each.size)
    return [_part(xp, each, rectangles[:, each], sizes[each], bins, shape) for each in chosen]


def _part(xp: Any, chosen: Any, rectangles: Any, sizes: Any, bins: int, shape: tuple[int, int]) -> Part:
    ends = xp.cumsum(sizes)
    starts, total = ends - sizes, int(ends[-1])
    owners = xp.zeros(total, np.int64)
    owners[starts] = 1
    owners = xp.cumsum(owners) - 1
    step = xp.arange(total) - starts[owners]
    image, top, _, left, right = rectangles[:, owners]
    row, column = top + step // (right - left), left + step % (right - left)
    bin_ = chosen % bins
    positions = ((image * bins + bin_[owners]) * shape[0] + row) * shape[1] + column
    return Part(chosen // bins, bin_, sizes, starts, owners, positions)
