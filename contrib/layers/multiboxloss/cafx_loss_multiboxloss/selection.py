"""Which priors count: matching with ground truth, then mining of negatives or hard examples."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_boxes import UNMATCHED, areas, decode, match, overlaps, ranked, suppress
from cafx_lib_ssd import GroundTruth
from cafx_loss_multiboxloss.options import MultiBoxLossParameter

Array = npt.NDArray[Any]
Mining = MultiBoxLossParameter.MiningType
SMALLEST_AREA = 1e-5
"""Boxes smaller than this are not candidates of mining with suppression."""


@attrs.frozen
class Priors:
    """Priors and how offsets from them are coded.

    Attributes:
        boxes: shape (priors, 4).
        variances: the same shape.
        code: see `cafx_lib_boxes.encode`.
        variance_in_target: likewise.
    """

    boxes: Array
    variances: Array
    code: str
    variance_in_target: bool

    def decode(self, offsets: Array, which: Any = slice(None)) -> Array:
        """Boxes from offsets, by default from those of all priors."""
        boxes, variances = self.boxes[which], self.variances[which]
        return decode(offsets, boxes, variances, self.code, variance_in_target=self.variance_in_target)


@attrs.frozen
class Matches:
    """The priors of a batch that are matched, in the order of images, sets of predictions and priors.

    Attributes:
        images, sets, priors: position of each matched prediction; ``sets`` is 0 if all classes share the boxes.
        truths: index of its object.
    """

    images: Array
    sets: Array
    priors: Array
    truths: Array

    @classmethod
    def of(cls, table: Array) -> Matches:
        """Read them from the objects of all predictions, of shape (images, sets, priors)."""
        images, sets, priors = np.nonzero(table > UNMATCHED)
        return cls(images, sets, priors, table[images, sets, priors])

    def __len__(self) -> int:
        return len(self.images)


class Matcher:
    """Matches predictions with ground truth.

    Args:
        options: the layer's options.
        priors: the priors.
        truth: the objects of the batch.
    """

    def __init__(self, options: MultiBoxLossParameter, priors: Priors, truth: GroundTruth) -> None:
        self.options, self.priors, self.truth = options, priors, truth
        per_prediction = options.match_type == MultiBoxLossParameter.MatchType.PER_PREDICTION
        self.threshold = options.overlap_threshold if per_prediction else None

    def __call__(self, locations: Array) -> tuple[Array, Array]:
        """The object of each prediction, and the largest overlap of each prior.

        Args:
            locations: predicted offsets, of shape (images, priors, sets, 4).

        Returns:
            Indices of objects, UNMATCHED or IGNORED, of shape (images, sets, priors); largest overlaps in the first
            set, of shape (images, priors).
        """
        count, size, sets = locations.shape[:3]
        table = np.full((count, sets, size), UNMATCHED, np.int64)
        largest = np.zeros((count, size), locations.dtype)
        for image in np.unique(self.truth.images):
            own = np.flatnonzero(self.truth.images == image)
            if self.options.use_prior_for_matching:
                matched, largest[image] = self._match(self.priors.boxes, own)
                table[image] = matched if sets == 1 else self._by_class(matched, sets)
                continue
            for each in range(sets):
                chosen = own if sets == 1 else own[self.truth.labels[own] == each]
                if len(chosen):
                    decoded = self.priors.decode(locations[image, :, each])
                    table[image, each], largest[image] = self._match(decoded, chosen)
        return table, largest

    def _match(self, boxes: Array, own: Array) -> tuple[Array, Array]:
        """Match boxes with some objects of an image; also the largest overlap of each box."""
        shared = overlaps(self.truth.boxes[own], boxes)
        outside = None
        if self.options.ignore_cross_boundary_bbox:
            outside = ((boxes < 0) | (boxes > 1)).any(axis=1)
        found = match(shared.T, self.threshold, outside)
        return np.where(found > UNMATCHED, own[np.maximum(found, 0)], found), shared.max(axis=0)

    def _by_class(self, matched: Array, sets: int) -> Array:
        """The same matches for the set of the object's class alone."""
        labels = np.where(matched > UNMATCHED, self.truth.labels[np.maximum(matched, 0)], UNMATCHED)
        return np.where(labels == np.arange(sets)[:, None], matched, UNMATCHED)


def mine(
    options: MultiBoxLossParameter,
    priors: Priors,
    locations: Array,
    table: Array,
    largest: Array,
    losses: Array,
    images: Array,
) -> Array:
    """Choose negatives or hard examples; matches that are not among the hard examples are taken out of ``table``.

    Args:
        options: the layer's options.
        priors: the priors.
        locations: predicted offsets, of shape (images, priors, 1, 4).
        table: objects, of shape (images, 1, priors); changed in place.
        largest: largest overlaps, of shape (images, priors).
        losses: the loss by which candidates are ranked, of shape (images, priors).
        images: the images with objects; the others have no candidates.

    Returns:
        Mask of the negatives, of shape (images, priors).
    """
    hard = options.mining_type == Mining.HARD_EXAMPLE
    negatives = np.zeros(losses.shape, bool)
    for image in images:
        matched = table[image, 0]
        positive = matched > UNMATCHED
        candidates = np.arange(len(matched))
        wanted = options.sample_size
        if not hard:
            candidates = np.flatnonzero((matched == UNMATCHED) & (largest[image] < np.float32(options.neg_overlap)))
            wanted = int(np.float32(positive.sum()) * np.float32(options.neg_pos_ratio))
        if options.has("nms_param") and options.nms_param.nms_threshold > 0:
            boxes = priors.boxes if options.use_prior_for_nms else priors.decode(locations[image, :, 0])
            candidates = candidates[areas(boxes[candidates]) >= SMALLEST_AREA]
            top_k = options.nms_param.top_k if options.nms_param.has("top_k") else -1
            chosen = suppress(
                boxes[candidates], losses[image, candidates], options.nms_param.nms_threshold, limit=top_k
            )[:wanted]
        else:
            chosen = ranked(losses[image, candidates], top_k=wanted)
        sampled = np.zeros(len(matched), bool)
        sampled[candidates[chosen]] = True
        negatives[image] = sampled & (matched == UNMATCHED)
        if hard:
            matched[positive & ~sampled] = UNMATCHED
    return negatives
