"""Loss of box offsets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_lib_boxes import encode
from cafx_lib_ssd import GroundTruth
from cafx_loss_multiboxloss.options import MultiBoxLossParameter
from cafx_loss_multiboxloss.selection import Matches, Priors

Array = npt.NDArray[Any]


class OffsetLoss:
    """Differences d of predicted and true offsets, and the loss f(d): d²/2 (L2), or d²/2 if |d| < 1, else |d| − 1/2.

    Args:
        options: the layer's options.
        priors: the priors.
    """

    def __init__(self, options: MultiBoxLossParameter, priors: Priors) -> None:
        self.options, self.priors = options, priors
        self.smooth = options.loc_loss_type == MultiBoxLossParameter.LocLossType.SMOOTH_L1

    def differences(self, locations: Array, matches: Matches, truth: GroundTruth) -> Array:
        """Predicted minus true offsets of the matched predictions, 0 for coordinates that have no loss.

        Args:
            locations: predicted offsets, of shape (images, priors, sets, 4).
            matches: the matched predictions.
            truth: their objects.
        """
        predicted = locations[matches.images, matches.priors, matches.sets]
        boxes, variances = self.priors.boxes[matches.priors], self.priors.variances[matches.priors]
        inside_target = self.options.encode_variance_in_target
        targets = encode(
            truth.boxes[matches.truths], boxes, variances, self.priors.code, variance_in_target=inside_target
        )
        difference: Array = predicted - targets
        if self.options.bp_inside:
            shown = boxes
            if not self.options.use_prior_for_matching:
                shown = self.priors.decode(predicted, matches.priors)
            difference[(shown < 0) | (shown > 1)] = 0
        return difference / variances if inside_target else difference

    def losses(self, difference: Array) -> Array:
        """f summed over the coordinates of each match."""
        squares = difference * difference / 2
        if self.smooth:
            size = abs(difference)
            squares = np.where(size < 1, squares, size - 0.5)
        losses: Array = squares.sum(axis=1)
        return losses

    def slopes(self, difference: Array) -> Array:
        """Derivatives of f by the differences."""
        return np.clip(difference, -1, 1) if self.smooth else difference
