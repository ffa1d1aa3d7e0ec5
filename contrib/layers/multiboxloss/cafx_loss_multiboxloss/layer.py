"""MultiBoxLoss: loss of box predictions and their scores against ground truth (SSD)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cafx.kernel import Blob, LossLayer, LossParameter
from cafx.kernel.blob import shape_text
from cafx_lib_labelled import Normaliser
from cafx_lib_ssd import GroundTruth, PriorBoxParameter, count_priors
from cafx_loss_multiboxloss.checks import mining_of, objects
from cafx_loss_multiboxloss.locations import OffsetLoss
from cafx_loss_multiboxloss.options import MultiBoxLossParameter
from cafx_loss_multiboxloss.scores import ScoreLoss
from cafx_loss_multiboxloss.selection import Matcher, Matches, Mining, Priors, mine
from cafx_loss_multiboxloss.targets import labels_of_all, rows_and_targets

if TYPE_CHECKING:
    from cafx.conformance import Case

COLUMNS = 8


class MultiBoxLoss(LossLayer):
    """L = (loc_weight · Σ f(t − t*) + Σ g(s, c)) / normaliser, over matched priors and mined ones.

    Priors are matched with objects (`cafx_lib_boxes.match`). A matched prior's predicted offsets t are compared with
    the true ones, t*, coded as ``code_type`` says; f is L2 or SMOOTH_L1. Its scores s are compared with the object's
    class c, and those of negatives with the background: g is −log softmax (SOFTMAX) or the cross entropy of sigmoids
    (LOGISTIC). mining_type:

    - NONE: all unmatched priors are negatives;
    - MAX_NEGATIVE: of the unmatched priors that overlap objects by less than ``neg_overlap``, the ⌊neg_pos_ratio ·
      matches⌋ of each image with the largest g;
    - HARD_EXAMPLE: of each image, the ``sample_size`` priors with the largest f + g; no other matches count.

    An image without objects has no negatives, unless mining_type is NONE.

    Bottoms: offsets t, N×(P·S·4) with S = 1, or S = num_classes without ``share_location``; scores s,
    N×(P·num_classes); priors, 1×2×(P·4), as of PriorBox; ground truth, 1×1×G×8, rows (image, class, instance, xmin,
    ymin, xmax, ymax, difficult), of which those with image −1 do not count. Top: L, a scalar. ``loss_param``
    normalises by the number of matches (VALID, default), N·P (FULL), N (BATCH_SIZE) or 1 (NONE). With
    ``propagate_down: false`` for t or s, its term is not part of L.
    Gradient: that of the terms that count, for t and s; the choice of priors is constant.

    As in SSD, targets of LOGISTIC are 1 for the class and background_label_id for the other classes; with mining NONE,
    those of image n begin n·P instead of n·P·num_classes values after those of the first. With
    ``encode_variance_in_target`` the gradient for t is that of f by the difference, not divided by the variance.

    Raises:
        CafxError: an option is missing or contradicts another, the bottoms do not fit together, or an object's image
            or class is not valid.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; the SSD fork of Caffe.
    """

    Parameter = MultiBoxLossParameter
    declares = (PriorBoxParameter, LossParameter)
    options: MultiBoxLossParameter
    bottoms = 4
    integer_bottoms: ClassVar[tuple[int, ...]] = (2, 3)
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options."""
        self.mining = mining_of(self)
        self.scores = ScoreLoss(self.options, self.xp)
        self.normaliser = Normaliser(self.read(LossParameter))
        down = list(self.spec.propagate_down)
        self.counts = [down[index] if index < len(down) else True for index in range(2)]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """A scalar."""
        truth = bottom[3].shape
        if not truth or truth[-1] != COLUMNS:
            raise self.error("the fourth bottom has no ground truth", found=shape_text(truth), expected="1×1×G×8")
        self.sets = 1 if self.options.share_location else self.options.num_classes
        self.priors = count_priors(self, *bottom[:3], self.options.num_classes, self.sets)
        self.images = bottom[1].shape[0]
        self.losses = self.context.blob((self.images * self.priors,), f"{self.name}: losses")
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Match, mine, and add up both terms."""
        truth = objects(self, bottom[3], self.images)
        locations = bottom[0].host().reshape(self.images, self.priors, self.sets, 4)
        boxes, variances = bottom[2].host().reshape(2, self.priors, 4)
        priors = Priors(boxes, variances, self.options.code_type.name, self.options.encode_variance_in_target)
        self.offsets = OffsetLoss(self.options, priors)
        table, largest = Matcher(self.options, priors, truth)(locations)
        negatives = None
        if self.mining != Mining.NONE:
            losses = self._losses_of_all(bottom[1], Matches.of(table), locations, truth)
            negatives = mine(self.options, priors, locations, table, largest, losses, np.unique(truth.images))
        self.matches = Matches.of(table)
        self.differences = self.offsets.differences(locations, self.matches, truth)
        rows, targets = rows_and_targets(self.options, self.matches, truth, (self.images, self.priors), negatives)
        self.rows, self.targets = None if rows is None else self.xp.asarray(rows), self.xp.asarray(targets)
        self.divisor = self.normaliser(self.images, self.priors, len(self.matches))
        loss = self.scores.total(self._rows(bottom[1].data), self.targets) if self.counts[1] else 0
        if self.counts[0]:
            loss = loss + self.options.loc_weight * float(self.offsets.losses(self.differences).sum(dtype=np.float64))
        top[0].mutable_data[...] = loss / self.divisor

    def _losses_of_all(self, scores: Blob, matches: Matches, locations: Any, truth: GroundTruth) -> Any:
        """The loss of each prior by which mining ranks it: g, and f + g for hard examples."""
        shape = (self.images, self.priors)
        labels = labels_of_all(matches, truth, shape, self.options.background_label_id)
        x = scores.data.reshape(-1, self.options.num_classes)
        self.losses.mutable_data[...] = self.scores.of_labels(x, self.xp.asarray(labels))
        losses = self.losses.host().reshape(shape)
        if self.mining == Mining.HARD_EXAMPLE:
            difference = self.offsets.differences(locations, matches, truth)
            losses[matches.images, matches.priors] += self.offsets.losses(difference)
        return losses

    def _rows(self, scores: Any) -> Any:
        """The rows of scores that count."""
        rows = scores.reshape(-1, self.options.num_classes)
        return rows if self.rows is None else rows[self.rows]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Scatter the derivatives of both terms."""
        self.refuse_gradients(propagate_down)
        factor = self.loss_weight(top) / self.divisor
        if propagate_down[0]:
            gradient = np.zeros((self.images, self.priors, self.sets, 4), self.context.dtype)
            if self.counts[0]:
                slopes = self.offsets.slopes(self.differences) * self.options.loc_weight
                gradient[self.matches.images, self.matches.priors, self.matches.sets] = slopes
            target = bottom[0].mutable_diff
            self.xp.multiply(self.xp.asarray(gradient).reshape(target.shape), factor, out=target)
        if propagate_down[1]:
            target = bottom[1].mutable_diff.reshape(-1, self.options.num_classes)
            target[...] = 0
            x = self._rows(bottom[1].data)
            if self.counts[1] and len(x):
                target[slice(None) if self.rows is None else self.rows] = self.scores.slopes(x, self.targets) * factor

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """See `cafx_loss_multiboxloss.cases`."""
        from cafx_loss_multiboxloss.cases import cases

        return cases()
