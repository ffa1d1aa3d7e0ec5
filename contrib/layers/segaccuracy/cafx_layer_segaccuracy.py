"""SegAccuracy: accuracies of a segmentation, from its confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, CafxError, Message, message, option
from cafx.kernel.blob import shape_text
from cafx_lib_labelled import LabelledLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("seg_accuracy_param")
class SegAccuracyParameter(Message):
    """Options of SegAccuracy."""

    class AccuracyMetric(IntEnum):
        """One of the three results; accepted for compatibility, ignored, as in the fork."""

        PixelAccuracy = 0
        ClassAccuracy = 1
        PixelIOU = 2

    metric: AccuracyMetric = option(
        1, AccuracyMetric, AccuracyMetric.PixelAccuracy, doc="accepted for compatibility, ignored: all are computed"
    )
    ignore_label: tuple[int, ...] = option(2, "int32", repeated=True, doc="ignore positions with these labels")
    reset: bool = option(3, "bool", True, doc="count each batch on its own; false: all batches since the start")


class SegAccuracy(LabelledLayer):
    """Accuracies from the confusion matrix M, where M[l, p] counts positions of label l and best score p.

    Bottoms: scores of shape N×C×…; one integer label per position. Of equal scores, the last is the best.
    Top: 1×1×1×3, with the sums R[c] = Σ M[c, ·] and K[c] = Σ M[·, c]:

    - the share of correct positions, Σ M[c, c] / Σ R[c], 0 if nothing is counted;
    - their share per label, M[c, c] / R[c], averaged over the labels that occur, 0 if there are none;
    - intersection over union, M[c, c] / (R[c] + K[c] − M[c, c]), averaged over all C classes, 1 for a class that
      neither occurs nor is predicted.

    Without ``reset``, M counts all passes since the net was built or the state was restored.
    Gradient: none.

    Raises:
        CafxError: there are no classes, there is not one label per position, a label is neither a class index nor
            ignored, or the number of classes has changed since setup.

    Source: Chen et al., DeepLab, 2015; the fork of PSPNet.
    """

    Parameter = SegAccuracyParameter
    options: SegAccuracyParameter
    bottoms = 2
    forward_only = True
    keeps_state = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Begin to count."""
        classes = bottom[0].shape[self.axis(bottom[0], 1)]
        self.confusion = Blob((classes, classes), np.float64, self.context.place, f"{self.name}.confusion")
        self._settle()

    def _settle(self) -> None:
        """Bring the counts to the place in which passes, which may be recorded, change them."""
        self.confusion.synced_data.write(self.confusion.place)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Three values."""
        self.set_class_axes(bottom, self.axis(bottom[0], 1))
        if not self.classes:
            raise self.error("there are no classes", found=shape_text(bottom[0].shape), expected="at least one")
        if self.classes != self.confusion.shape[0]:
            raise self.error("the number of classes has changed", found=self.classes, expected=self.confusion.shape[0])
        top[0].reshape(1, 1, 1, 3)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Count, and compute the accuracies."""
        confusion = self.confusion.mutable_data
        if self.options.reset:
            confusion[...] = 0
        labels, valid = self._counted(bottom)
        backwards = self.scores(bottom[0].data)[:, ::-1]  # so that the last of equal scores is found first
        pairs = labels * self.classes + (self.classes - 1) - backwards.argmax(axis=1)
        self.xp.add.at(confusion.reshape(-1), pairs.reshape(-1), valid.reshape(-1).astype(np.float64))
        results = top[0].mutable_data.reshape(-1)
        results[0], results[1], results[2] = self._accuracies(confusion)

    def _counted(self, bottom: list[Blob]) -> tuple[Any, Any]:
        """Labels as class indices, outer×inner, and a mask of those that count."""
        labels = bottom[1].data.reshape(self.outer, self.inner)
        whole, valid = self.xp.trunc(labels), self.xp.ones(labels.shape, bool)
        for ignored in self.options.ignore_label:
            valid &= whole != ignored

        def error(lowest: float, highest: float) -> CafxError:
            expected = ", or ".join([f"0 to {self.classes - 1}", *map(str, self.options.ignore_label)])
            found = f"labels from {lowest:g} to {highest:g}"
            return self.error("a label is not a class index", found=found, expected=expected)

        known = self.xp.where(valid, labels, 0)
        return self.context.checks.indices(known, self.classes, error, f"{self.name}: labels"), valid

    def _accuracies(self, confusion: Any) -> tuple[Any, Any, Any]:
        """Of positions, of labels, and of intersection over union."""
        hits, labels, predictions = self.xp.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        union, atleast = labels + predictions - hits, self.xp.maximum
        recall = hits / atleast(labels, 1)
        overlap = self.xp.where(union == 0, 1, hits / atleast(union, 1))
        return hits.sum() / atleast(labels.sum(), 1), recall.sum() / atleast((labels > 0).sum(), 1), overlap.mean()

    def state(self) -> dict[str, Any]:
        """The counts so far, if they matter to the next pass."""
        return {} if self.options.reset else {"confusion": self.confusion.host().tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue to count."""
        if state:
            self.confusion.set_data(state["confusion"])
            self._settle()

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """With and without ignored labels, counting one batch or all."""
        from cafx.conformance import Case, distinct, labels

        yield Case("rows", distinct((20, 4)), labels((20,), 4))
        yield Case("images", distinct((2, 3, 4, 5)), labels((2, 1, 4, 5), 3), options={"metric": "PixelIOU"})
        yield Case("ignoring", distinct((3, 5, 4)), labels((3, 4), 5), options={"ignore_label": [1, 3]})
        yield Case("all_batches", distinct((2, 4, 3, 3)), labels((2, 3, 3), 4), options={"reset": False})
