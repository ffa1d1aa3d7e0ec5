"""Random crops: those that satisfy constraints on the boxes in them (SSD), those of random size (MobileNet-YOLO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_lib_annotated.boxes import Boxes, coverage
from cafx_lib_boxes import overlaps

F = np.float32
RANGES = ("min_scale", "max_scale", "min_aspect_ratio", "max_aspect_ratio")
MEASURES = ("jaccard_overlap", "sample_coverage", "object_coverage")
Mask = npt.NDArray[np.bool_]
WHOLE, GENTLE = 0.2, 0.2
"""Probabilities that a jitter leaves an image whole, and that it has half its strength."""


class Samplers:
    """Draws windows of an image by several batch samplers at once.

    Each sampler draws max_trials windows and keeps the first max_sample of those that satisfy its constraint:
    all of its bounds, with one and the same box. Jaccard overlap is shared area over united area; sample coverage,
    shared area over the window's; object coverage, shared area over the box's. Without bounds, all windows do.

    Args:
        options: BatchSampler options; those without use_original_image draw nothing.
    """

    def __init__(self, options: Sequence[Any]) -> None:
        used = [each for each in options if each.use_original_image]
        trials = np.array([each.max_trials for each in used], int)
        self.count = int(trials.sum())
        self._starts = np.repeat(np.cumsum(trials) - trials, trials)
        most = [each.max_sample if each.has("max_sample") else each.max_trials for each in used]
        self._most = np.repeat(most, trials)
        self._ranges = [np.repeat([getattr(each.sampler, name) for each in used], trials) for name in RANGES]
        constraints = [each.sample_constraint for each in used]
        bounds = {name: [_bounds(each, name) for each in constraints] for name in MEASURES}
        self._bounds = {
            name: np.repeat(np.array(each, F), trials, axis=0).T[:, :, None]
            for name, each in bounds.items()
            if np.isfinite(each).any()
        }
        bounded = [any(np.isfinite(each[index]).any() for each in bounds.values()) for index in range(len(used))]
        self._free = ~np.repeat(np.array(bounded, bool), trials)

    def sample(self, boxes: Boxes, rng: np.random.Generator) -> Boxes | None:
        """Choose one of the windows that the samplers keep, or None if they keep none.

        Args:
            boxes: the boxes of the image, K×4.
            rng: the random draws.
        """
        windows = self.draw(rng)
        fits = self.satisfied(windows, boxes)
        found = np.concatenate([[0], np.cumsum(fits)])
        kept = np.flatnonzero(fits & (found[1:] - found[self._starts] <= self._most))
        return windows[kept[rng.integers(len(kept))]] if len(kept) else None

    def draw(self, rng: np.random.Generator) -> Boxes:
        """Draw the windows of all samplers, max_trials×4 for each: where they lie within [0, 1] is uniform."""
        chance = rng.random((4, self.count))
        least, largest, narrowest, widest = self._ranges
        scale = least + (largest - least) * chance[0]
        aspect = np.clip(narrowest + (widest - narrowest) * chance[1], scale**2, 1 / scale**2)
        root = np.sqrt(aspect)
        sides = np.minimum([scale * root, scale / root], 1)
        low = chance[2:] * (1 - sides)
        return np.concatenate([low, low + sides]).T.astype(F)

    def satisfied(self, windows: Boxes, boxes: Boxes) -> Mask:
        """Which of the windows of all samplers satisfy the constraint of their sampler."""
        fits: Mask | None = None
        for name, (low, high) in self._bounds.items():
            values = _measure(name, windows, boxes)
            within = (values >= low) & (values <= high)
            fits = within if fits is None else fits & within
        return np.ones(len(windows), bool) if fits is None else fits.any(axis=1) | self._free


class Jitter:
    """Draws a window of random size for each image, as MobileNet-YOLO's yolo_data_jitter says.

    Two images of ten stay whole. Otherwise width and height are uniform between 1 - jitter and 1, or, for two images
    of ten, between 1 - jitter / 2 and 1. Where the window lies in the image is uniform.

    Args:
        jitter: the largest part of a side that is cut off, 0 to 1.
        keeps_ratio: whether the window has the image's ratio of width to height.
    """

    count = 1

    def __init__(self, jitter: float, keeps_ratio: bool) -> None:
        self.jitter, self.keeps_ratio = jitter, keeps_ratio

    def sample(self, boxes: Boxes, rng: np.random.Generator) -> Boxes:
        """Draw a window.

        Args:
            boxes: the boxes of the image, which do not matter.
            rng: the random draws.
        """
        kind, *chance = rng.random(5)
        strength = 0 if kind < WHOLE else self.jitter / 2 if kind < WHOLE + GENTLE else self.jitter
        sides = 1 - strength * np.array([chance[0], chance[0 if self.keeps_ratio else 1]])
        low = chance[2:] * (1 - sides)
        return np.concatenate([low, low + sides]).astype(F)


def _bounds(constraint: Any, name: str) -> tuple[float, float]:
    """The lower and upper bound of a measure; infinite where there is none."""
    low, high = f"min_{name}", f"max_{name}"
    return (
        getattr(constraint, low) if constraint.has(low) else -np.inf,
        getattr(constraint, high) if constraint.has(high) else np.inf,
    )


def _measure(name: str, windows: Boxes, boxes: Boxes) -> Boxes:
    """One measure of each window with each box."""
    if name == "jaccard_overlap":
        return overlaps(windows, boxes)
    every = windows[:, None], boxes[None]
    return coverage(*every) if name == "sample_coverage" else coverage(*every[::-1])
