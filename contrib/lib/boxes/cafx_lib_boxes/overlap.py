"""Areas of boxes and their overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[Any]


def areas(boxes: Boxes, *, pixels: bool = False) -> npt.NDArray[Any]:
    """Areas of boxes; 0 for a box whose xmax < xmin or ymax < ymin.

    Args:
        boxes: shape (…, 4).
        pixels: whether xmax and ymax belong to the box, which is then one pixel wider and higher.

    Example:
        >>> areas(np.array([[0, 0, 2, 3], [2, 0, 1, 3]])).tolist(), areas(np.array([0, 0, 2, 3]), pixels=True).item()
        ([6, 0], 12)
    """
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    valid = (width >= 0) & (height >= 0)
    return np.where(valid, (width + 1) * (height + 1) if pixels else width * height, width.dtype.type(0))


def overlaps(one: Boxes, two: Boxes, *, pixels: bool = False, pixel_areas: bool | None = None) -> npt.NDArray[Any]:
    """Intersection over union of each box of ``one`` with each box of ``two``, 0 where they do not meet.

    Args:
        one: shape (N, 4).
        two: shape (M, 4).
        pixels: see `areas`.
        pixel_areas: the same for the areas alone, if they are not computed like the intersection.

    Returns:
        Shape (N, M); 0 also for a box with xmax < xmin or ymax < ymin, for one with NaN, and for two without area.
    """
    return Columns(one, pixels, pixel_areas).overlaps(Columns(two, pixels, pixel_areas))


def clip(boxes: Boxes, width: float = 1, height: float = 1) -> Boxes:
    """Boxes with x cut to 0 … ``width`` and y cut to 0 … ``height``; for pixels, give width − 1 and height − 1.

    Args:
        boxes: shape (…, 4).
        width, height: largest coordinates.
    """
    limits = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, boxes.dtype.type(0), limits)


class Columns:
    """Boxes stored by coordinate with their areas, for comparing many of them.

    Args:
        boxes: shape (N, 4).
        pixels, pixel_areas: see `overlaps`.
    """

    def __init__(self, boxes: Boxes, pixels: bool, pixel_areas: bool | None = None) -> None:
        self.values = np.empty((5, len(boxes)), np.result_type(boxes, np.float32))
        self.values[:4] = boxes.T
        self.values[4] = areas(self.values[:4].T, pixels=pixels if pixel_areas is None else pixel_areas)
        if pixels:
            inverted = (self.values[2] < self.values[0]) | (self.values[3] < self.values[1])
            self.values[:4, inverted] = np.nan
        self.pixels = pixels

    def __len__(self) -> int:
        return self.values.shape[1]

    def __getitem__(self, which: Any) -> Columns:
        """The boxes that an index, a slice or a mask selects."""
        chosen = object.__new__(Columns)
        chosen.values, chosen.pixels = self.values[:, which], self.pixels
        return chosen

    def extents(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Horizontal centres and widths."""
        left, right = self.values[0], self.values[2]
        return (left + right) / 2, right - left + (1 if self.pixels else 0)

    def overlaps(self, other: Columns) -> npt.NDArray[Any]:
        """Intersection over union with each box of ``other``: shape (len(self), len(other))."""
        x0, y0, x1, y1, area = self.values[:, :, None]
        u0, v0, u1, v1, other_area = other.values[:, None, :]
        width, height = np.minimum(x1, u1), np.minimum(y1, v1)
        width -= np.maximum(x0, u0)
        height -= np.maximum(y0, v0)
        if self.pixels:
            width += 1
            height += 1
        np.fmax(width, 0, out=width)
        np.fmax(height, 0, out=height)
        width *= height
        union = np.add(area, other_area, out=height)
        union -= width
        np.maximum(union, np.finfo(union.dtype).tiny, out=union)
        return np.divide(width, union, out=width)
