"""Which rows of scores count, and their targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_lib_ssd import GroundTruth
from cafx_loss_multiboxloss.options import MultiBoxLossParameter
from cafx_loss_multiboxloss.selection import Matches

Array = npt.NDArray[Any]


def labels_of_all(matches: Matches, truth: GroundTruth, shape: tuple[int, int], background: int) -> Array:
    """The class of every prior, the background if it is not matched.

    Args:
        matches: the matched predictions.
        truth: their objects.
        shape: numbers of images and priors.
        background: the label of the background.
    """
    labels = np.full(shape, background)
    labels[matches.images, matches.priors] = truth.labels[matches.truths]
    return labels.reshape(-1)


def rows_and_targets(
    options: MultiBoxLossParameter,
    matches: Matches,
    truth: GroundTruth,
    shape: tuple[int, int],
    negatives: Array | None,
) -> tuple[Array | None, Array]:
    """The rows of scores that count, matches then negatives (None: all rows), and their targets.

    Args:
        options: the layer's options.
        matches, truth, shape: as for `labels_of_all`.
        negatives: mask of shape (images, priors); None if there is no mining.

    Returns:
        Rows, and labels or, for LOGISTIC, values; the layer says where those begin without mining.
    """
    logistic = options.conf_loss_type == MultiBoxLossParameter.ConfLossType.LOGISTIC
    background, classes = options.background_label_id, options.num_classes
    own = truth.labels[matches.truths]
    if negatives is None:
        if not logistic:
            return None, labels_of_all(matches, truth, shape, background)
        return None, _values(matches.images * shape[1] + matches.priors * classes + own, shape[0] * shape[1], options)
    rows = np.concatenate([matches.images * shape[1] + matches.priors, np.flatnonzero(negatives)])
    labels = np.concatenate([own, np.full(len(rows) - len(own), background)])
    if not logistic:
        return rows, labels
    places = np.arange(len(labels)) * classes + labels
    return rows, _values(places[labels < classes], len(rows), options)


def _values(places: Array, rows: int, options: MultiBoxLossParameter) -> Array:
    """1 at some places, else the label of the background."""
    values = np.full(rows * options.num_classes, float(options.background_label_id))
    values[places] = 1
    return values.reshape(rows, options.num_classes)
