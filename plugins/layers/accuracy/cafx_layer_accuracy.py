"""Accuracy: fraction of labels among the best scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_lib_labelled import LabelledLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("accuracy_param", 102)
class AccuracyParameter(Message):
    """Options of Accuracy."""

    top_k: int = option(1, "uint32", 1, doc="number of best scores that count as correct")
    axis: int = option(2, "int32", 1, doc="axis of the classes; negative from the end")
    ignore_label: int | None = option(3, "int32", doc="ignore positions with this label")


class Accuracy(LabelledLayer):
    """Accuracy: y = correct labels / labels, where a label is correct if it has one of the ``top_k`` best scores.

    Bottoms: scores of any shape, with the classes along ``axis``; one integer label per remaining position.
    Tops: accuracy, a scalar; optionally accuracy per class, of shape (classes), 0 for a class without
    labels. Ties count against the label.
    Gradient: none.

    Raises:
        CafxError: the axis does not exist, there is not one label per position, ``top_k`` exceeds the
            number of classes, or a label is not a class index.
    Source: Caffe's layer catalogue, Accuracy.
    """

    Parameter = AccuracyParameter
    options: AccuracyParameter
    bottoms = 2
    tops = (1, 2)
    forward_only = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """A scalar; optionally one value per class."""
        self.set_class_axes(bottom, self.axis(bottom[0], self.options.axis))
        top_k, classes = self.options.top_k, self.classes
        if top_k > classes:
            raise self.error("top_k exceeds the number of classes", found=top_k, expected=f"at most {classes}")
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Fraction of labels whose score has rank top_k or better."""
        scores = self.scores(bottom[0].data)
        labels, valid = self.labels(bottom, self.options.ignore_label)
        label_scores = scores[self.at(labels)]
        rank = (scores >= label_scores[:, None, :]).sum(axis=1)
        correct = rank <= self.options.top_k
        counted = self.xp.ones_like(correct) if valid is None else valid
        correct &= counted
        top[0].mutable_data[...] = correct.sum() / self.xp.maximum(counted.sum(), 1)
        if len(top) > 1:
            hits, totals = self._per_class(labels, correct), self._per_class(labels, counted)
            top[1].mutable_data[...] = hits / self.xp.maximum(totals, 1)

    def _per_class(self, labels: Any, counted: Any) -> Any:
        """How often each class is among the labels that are counted, as float64."""
        totals = self.xp.zeros(self.classes, np.float64)
        self.xp.add.at(totals, labels.reshape(-1), counted.reshape(-1).astype(np.float64))
        return totals

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Several top_k and axes, an ignored label, and accuracy per class."""
        from cafx.conformance import Case, distinct, labels

        yield Case("best", distinct((20, 4)), labels((20,), 4))
        yield Case("best_three", distinct((20, 6)), labels((20, 1), 6), options={"top_k": 3})
        yield Case("images", distinct((2, 3, 4, 5)), labels((2, 4, 5), 3), tops=2)
        yield Case("last_axis", distinct((3, 4, 5)), labels((3, 4), 5), options={"axis": -1})
        ignoring = {"ignore_label": 1, "top_k": 2}
        yield Case("ignoring", distinct((12, 6)), labels((12,), 6), options=ignoring, tops=2)
