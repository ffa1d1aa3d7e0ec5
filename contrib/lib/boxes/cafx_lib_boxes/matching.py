"""Matching of predictions (or priors) with ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UNMATCHED, IGNORED = -1, -2
SMALLEST = 1e-6
"""Overlaps up to this are none."""


def match(
    overlaps: npt.NDArray[Any], threshold: float | None = None, ignored: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """The ground truth that each prediction is matched with.

    First, bipartite: of all pairs of an unmatched prediction and an unmatched ground truth, the one with the
    largest overlap is matched, until no pair overlaps; of equal pairs, the one with the lower prediction, then
    with the lower ground truth. Then, with a threshold, each prediction left is matched with the ground truth
    of its largest overlap, if that is at least the threshold.

    Args:
        overlaps: shape (predictions, ground truths).
        threshold: smallest overlap of the second stage; None for the bipartite stage alone.
        ignored: mask of predictions that take no part.

    Returns:
        For each prediction the index of its ground truth, `UNMATCHED` or `IGNORED`.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016.

    Example:
        >>> match(np.array([[0.9, 0.8], [0.7, 0.1], [0.6, 0.2]]), threshold=0.65).tolist()
        [0, 0, 1]
    """
    table = np.where(overlaps.T > SMALLEST, overlaps.T, overlaps.dtype.type(-1))
    matches = np.full(len(overlaps), UNMATCHED, np.int64)
    if ignored is not None:
        matches[ignored], table[:, ignored] = IGNORED, -1
    if not table.size:
        return matches
    largest = table.max(axis=0)
    _match_pairs(table, matches)
    if threshold is not None:
        enough = np.flatnonzero((matches == UNMATCHED) & (largest > 0) & (largest >= largest.dtype.type(threshold)))
        matches[enough] = table[:, enough].argmax(axis=0)
    return matches


def _match_pairs(table: npt.NDArray[Any], matches: npt.NDArray[np.int64]) -> None:
    """The bipartite stage; the best free prediction of each ground truth is found anew only once it is taken.

    Args:
        table: overlaps of shape (ground truths, predictions), −1 for none; those of matched predictions become −1.
        matches: filled in.
    """
    best = table.argmax(axis=1)
    value = table[np.arange(len(table)), best]
    while value.max() > 0:
        truth = value.argmax()
        prediction = best[truth]
        matches[prediction] = truth
        value[truth], table[:, prediction] = -1, -1
        for other in np.flatnonzero((best == prediction) & (value > 0)):
            best[other] = table[other].argmax()
            value[other] = table[other, best[other]]
