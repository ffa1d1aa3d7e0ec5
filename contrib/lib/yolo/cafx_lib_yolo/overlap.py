"""Overlap of boxes given by centre and size: intersection over union, its generalisation, and their gradients."""

from __future__ import annotations

from typing import Any


class Overlap:
    """Intersection, union and hull of pairs of boxes (centre x, centre y, width, height).

    Args:
        xp: the array module.
        one, two: arrays …×4 that broadcast against each other.

    Example:
        >>> import numpy as np
        >>> pair = Overlap(np, np.array([1.0, 1.0, 2.0, 2.0]), np.array([2.0, 1.0, 2.0, 2.0]))
        >>> float(pair.iou), float(pair.giou)
        (0.3333333333333333, 0.3333333333333333)
    """

    def __init__(self, xp: Any, one: Any, two: Any) -> None:
        self.xp = xp
        self.size = one[..., 2:]
        self.low, self.high = (one[..., :2] - self.size / 2, one[..., :2] + self.size / 2)
        self.other_low, self.other_high = (two[..., :2] - two[..., 2:] / 2, two[..., :2] + two[..., 2:] / 2)
        self.common = xp.maximum(xp.minimum(self.high, self.other_high) - xp.maximum(self.low, self.other_low), 0)
        self.intersection = self.common[..., 0] * self.common[..., 1]
        self.union = one[..., 2] * one[..., 3] + two[..., 2] * two[..., 3] - self.intersection

    @property
    def iou(self) -> Any:
        """Intersection over union; 0 where the union is empty."""
        return self._ratio(self.intersection, self.union)

    @property
    def giou(self) -> Any:
        """IoU − (C − U) / C, with C the area of the smallest box that contains both.

        Source: Rezatofighi et al., "Generalized Intersection over Union", 2019.
        """
        hull = self._hull()
        area = hull[..., 0] * hull[..., 1]
        return self.iou - self._ratio(area - self.union, area)

    def gradient(self, generalised: bool) -> Any:
        """The derivative of ``iou`` or ``giou`` with respect to the first box.

        Args:
            generalised: of ``giou``.

        Returns:
            Array …×4: derivatives with respect to centre x, centre y, width, height.
        """
        xp = self.xp
        overlapping = (self.intersection > 0)[..., None]
        common, size = self.common[..., ::-1], self.size[..., ::-1]
        inner_low = xp.where(overlapping & (self.low > self.other_low), -common, 0)
        inner_high = xp.where(overlapping & (self.high < self.other_high), common, 0)
        outer_low, outer_high = -size - inner_low, size - inner_high
        union, intersection = self.union[..., None], self.intersection[..., None]
        low = self._ratio(union * inner_low - intersection * outer_low, union * union)
        high = self._ratio(union * inner_high - intersection * outer_high, union * union)
        if generalised:
            hull = self._hull()
            area, across = (hull[..., 0] * hull[..., 1])[..., None], hull[..., ::-1]
            hull_low = xp.where(self.low < self.other_low, -across, 0)
            hull_high = xp.where(self.high > self.other_high, across, 0)
            low = low + self._ratio(area * outer_low - union * hull_low, area * area)
            high = high + self._ratio(area * outer_high - union * hull_high, area * area)
        return xp.concatenate([low + high, (high - low) / 2], axis=-1)

    def _hull(self) -> Any:
        return self.xp.maximum(self.high, self.other_high) - self.xp.minimum(self.low, self.other_low)

    def _ratio(self, part: Any, whole: Any) -> Any:
        positive = whole > 0
        return self.xp.where(positive, part / self.xp.where(positive, whole, 1), 0)
