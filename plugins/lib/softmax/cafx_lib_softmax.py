"""Softmax as a function, its options, and the base class of losses computed from it."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from cafx.kernel import Blob, LossLayer, LossParameter, Message, message, option
from cafx_lib_labelled import LabelledLayer, Normaliser


@message("softmax_param", 125)
class SoftmaxParameter(Message):
    """Options of Softmax and SoftmaxWithLoss."""

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    engine: Engine = option(1, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")
    axis: int = option(2, "int32", 1, doc="axis of the classes; negative from the end")


def softmax(xp: Any, x: Any, out: Any, axis: int) -> None:
    """out = exp(x − max x) / Σ exp(x − max x) along ``axis``.

    Args:
        xp: array module.
        x: scores.
        out: overwritten; may be ``x``.
        axis: axis of the classes.
    """
    if not x.size:
        return
    xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    xp.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)


class SoftmaxLoss(LabelledLayer, LossLayer):
    """Base class of losses of p = softmax(x): L = −Σ likelihood / normaliser.

    Bottoms: scores x of any shape, with the classes along option ``axis``; one integer label per remaining
    position. Tops: L, a scalar; optionally p, of the shape of x, whose own gradient is ignored.
    ``loss_param`` sets the ignored label and the normaliser.
    """

    tops = (1, 2)
    constant_tops = (1,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the ignored label and the normalisation."""
        loss = self.read(LossParameter)
        self.ignored: int | None = loss.ignore_label
        self.normaliser = Normaliser(loss)
        self.probabilities = self.context.blob((), f"{self.name}.probabilities")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar; the probabilities have the shape of the scores."""
        super().reshape(bottom, top)
        self.set_class_axes(bottom, self.axis(bottom[0], self.options.axis))
        for blob in (self.probabilities, *top[1:]):
            blob.reshape(*bottom[0].shape)

    def predict(self, bottom: list[Blob]) -> Any:
        """p as outer×classes×inner; kept for backward."""
        p = self.scores(self.probabilities.mutable_data)
        softmax(self.xp, self.scores(bottom[0].data), p, axis=1)
        return p

    def write_tops(self, top: list[Blob], likelihood: Any, valid: Any) -> None:
        """Write L = −Σ likelihood / normaliser and, with a second top, p.

        Args:
            top: the tops.
            likelihood: log-likelihood per position, 0 where the label is ignored.
            valid: mask of the positions that count, or None for all.
        """
        self.divisor = self.normaliser(self.outer, self.inner, self.count(valid))
        top[0].mutable_data[...] = -likelihood.sum() / self.divisor
        if len(top) > 1:
            top[1].mutable_data[...] = self.probabilities.data
