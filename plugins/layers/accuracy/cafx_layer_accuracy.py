"""Accuracy: how often the right class is among the best scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, message, option
from cafx_lib_labelled import LabelledLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("accuracy_param", 102)
class AccuracyParameter(Message):
    """Options of Accuracy."""

    top_k: int = option(1, "uint32", 1, doc="right if the label is among this many best scores")
    axis: int = option(2, "int32", 1, doc="the axis along which the classes lie")
    ignore_label: int | None = option(3, "int32", doc="positions with this label do not count")


class Accuracy(LabelledLayer):
    """Accuracy: the share of positions whose label has one of the ``top_k`` best scores.

    Bottoms: scores of any shape, with the classes along ``axis``; labels, one for each other
    position. Tops: the share, a scalar; optionally the share within each class, of length classes,
    0 for a class that does not occur. A score equal to the label's own counts as better.
    Gradient: none; it measures.

    Raises:
        CafxError: no such axis, another number of labels than positions, more ``top_k`` than
            classes, or a label that is no class.

    Source: Caffe's layer catalogue, Accuracy.
    """

    Parameter = AccuracyParameter
    options: AccuracyParameter
    bottoms = 2
    tops = (1, 2)
    forward_only = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """A scalar, and one value for each class."""
        self.line_up(bottom, self.axis(bottom[0], self.options.axis))
        if self.options.top_k > self.classes:
            raise self.error(
                "top_k is larger than the number of classes",
                found=self.options.top_k, expected=f"at most {self.classes}",
            )  # fmt: skip
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The share of labels that fewer than top_k other scores reach."""
        scores = self.scores(bottom[0].data)
        labels, counted = self.labels(bottom, self.options.ignore_label)
        own = scores[self.at(labels)]
        reached = (scores >= own[:, None, :]).sum(axis=1)
        right = reached <= self.options.top_k
        if counted is not None:
            labels, right = labels[counted], right[counted]
        top[0].mutable_data[...] = right.sum() / max(1, labels.size)
        if len(top) > 1:
            seen = self.xp.bincount(labels.reshape(-1), minlength=self.classes)
            hits = self.xp.bincount(labels[right], minlength=self.classes)
            top[1].mutable_data[...] = hits / self.xp.maximum(seen, 1)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """The best and the best three, each axis, an ignored label, and the share by class."""
        from cafx.conformance import Case, distinct, labels

        yield Case("best", distinct((20, 4)), labels((20,), 4))
        yield Case("best_three", distinct((20, 6)), labels((20, 1), 6), options={"top_k": 3})
        yield Case("images", distinct((2, 3, 4, 5)), labels((2, 4, 5), 3), tops=2)
        yield Case("last_axis", distinct((3, 4, 5)), labels((3, 4), 5), options={"axis": -1})
        ignoring = {"ignore_label": 1, "top_k": 2}
        yield Case("ignoring", distinct((12, 6)), labels((12,), 6), options=ignoring, tops=2)
