"""From maps of probabilities to boxes: each position votes for its window, and votes that agree are combined."""

from typing import NamedTuple

import numpy as np

from cafx_applications.scenes import Box, overlap

LEAST = 0.6
"""Probability from which a position votes."""
AGREE = 0.35
"""Overlap from which two boxes speak of the same digit."""
ENOUGH = 1.8
"""Sum of the votes from which a digit is reported."""


class Found(NamedTuple):
    """A digit, the box it lies in, and the sum of its votes."""

    label: int
    box: Box
    score: float


def votes(prob: np.ndarray, none: int, stride: int, window: int, factor: float) -> list[Found]:
    """The windows in which a digit is probable.

    Args:
        prob: classes × rows × columns of probabilities.
        none: number of the class that is no digit.
        stride: pixels from one position to the next, at this scale.
        window: side of a window in pixels, at this scale.
        factor: pixels of the picture per pixel at this scale.
    """
    found = []
    best = prob[:none].argmax(axis=0)
    for row, column in np.argwhere(prob[:none].max(axis=0) >= LEAST):
        edges = np.array([column, row, column, row]) * stride + [0, 0, window, window]
        label = int(best[row, column])
        left, upper, right, lower = (round(float(edge) * factor) for edge in edges)
        found.append(Found(label, (left, upper, right, lower), float(prob[label, row, column])))
    return found


def combined(found: list[Found]) -> list[Found]:
    """Merge the votes that overlap: the box is their mean, weighted by probability, and the label that of the most.

    Args:
        found: votes of all scales.
    """
    groups: list[list[Found]] = []
    for vote in sorted(found, key=lambda each: -each.score):
        for group in groups:
            if overlap(group[0].box, vote.box) >= AGREE:
                group.append(vote)
                break
        else:
            groups.append([vote])
    merged = [_merged(group) for group in groups]
    kept: list[Found] = []
    for each in sorted(merged, key=lambda one: -one.score):
        if each.score >= ENOUGH and all(overlap(each.box, other.box) < AGREE for other in kept):
            kept.append(each)
    return kept


def _merged(group: list[Found]) -> Found:
    weights = np.array([each.score for each in group])
    boxes = np.array([each.box for each in group], float)
    left, upper, right, lower = (round(edge) for edge in (weights[:, None] * boxes).sum(axis=0) / weights.sum())
    labels = np.array([each.label for each in group])
    label = int(np.bincount(labels, weights).argmax())
    return Found(label, (left, upper, right, lower), float(weights[labels == label].sum()))
