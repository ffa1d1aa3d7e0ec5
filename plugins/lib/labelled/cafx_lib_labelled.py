"""What labelled losses and scores share: labels against classes, and what a loss is divided by."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from cafx.kernel import Blob, Layer, LossParameter
from cafx.kernel.blob import shape_text


class LabelledLayer(Layer):
    """A layer that holds scores, bottom 0, against one class label a position, bottom 1.

    Scores are outer×classes×inner values, labels outer×inner; `line_up` says which axes are which.
    """

    integer_bottoms: ClassVar[tuple[int, ...]] = (1,)
    outer = classes = inner = 0

    def line_up(self, bottom: list[Blob], first: int, last: int | None = None) -> None:
        """Let the classes be the scores' axes from ``first`` to before ``last`` (default: one axis).

        Raises:
            CafxError: not exactly one label for each position.
        """
        shape, last = bottom[0].shape, first + 1 if last is None else last
        self.outer, self.inner = math.prod(shape[:first]), math.prod(shape[last:])
        self.classes = math.prod(shape[first:last])
        if bottom[1].count() != self.outer * self.inner:
            raise self.error(
                f"takes one label a position of its scores {shape_text(shape)}",
                found=f"{bottom[1].count()} labels",
                expected=self.outer * self.inner,
                remedy="check the axis of the classes, and that labels are indices, not one-hot",
            )

    def scores(self, array: Any) -> Any:
        """An array of the shape of bottom 0, seen as outer×classes×inner."""
        return array.reshape(self.outer, self.classes, self.inner)

    def labels(self, bottom: list[Blob], ignored: int | None = None) -> tuple[Any, Any]:
        """The labels as integers, outer×inner, and where they count (None: everywhere).

        A label ``ignored`` does not count and reads as 0.

        Raises:
            CafxError: a label that is no class.
        """
        labels = bottom[1].data.reshape(self.outer, self.inner)
        counted = None
        if ignored is not None:
            counted = self.xp.trunc(labels) != ignored
            labels = self.xp.where(counted, labels, 0)
        if labels.size and not (float(labels.min()) > -1 and float(labels.max()) < self.classes):
            raise self.error(
                "a label is no class",
                found=f"labels from {float(labels.min()):g} to {float(labels.max()):g}",
                expected=f"0 to {self.classes - 1}" + ("" if ignored is None else f", or {ignored}"),
            )
        return labels.astype(np.int64), counted

    def at(self, labels: Any) -> tuple[Any, Any, Any]:
        """The index that picks, from outer×classes×inner values, each position's own class."""
        arange = self.xp.arange
        return arange(self.outer)[:, None], labels, arange(self.inner)


class Normaliser:
    """What a loss over outer×inner positions is divided by (LossParameter).

    ``normalization`` FULL: all positions; VALID: those whose label is not ignored; BATCH_SIZE: the
    outer count; NONE: one. Never less than one, so that a batch of ignored labels costs nothing.

    Args:
        options: the layer's LossParameter.
        default: the mode where neither ``normalization`` nor ``normalize`` is stated.
    """

    def __init__(
        self, options: LossParameter, default: LossParameter.NormalizationMode = LossParameter.NormalizationMode.VALID
    ) -> None:
        modes = LossParameter.NormalizationMode
        if options.has("normalization"):
            self.mode = options.normalization
        elif options.has("normalize"):
            self.mode = modes.VALID if options.normalize else modes.BATCH_SIZE
        else:
            self.mode = default

    def __call__(self, outer: int, inner: int, valid: int | None = None) -> float:
        """The divisor for ``outer``×``inner`` positions of which ``valid`` count (None: all)."""
        modes = LossParameter.NormalizationMode
        everything = outer * inner
        divisor = {
            modes.FULL: everything,
            modes.VALID: everything if valid is None else valid,
            modes.BATCH_SIZE: outer,
            modes.NONE: 1,
        }[self.mode]
        return float(max(1, divisor))
