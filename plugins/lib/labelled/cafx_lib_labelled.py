"""Shared by losses and scores with labels: labels and classes, and the normaliser of a loss."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from cafx.kernel import Blob, CafxError, Layer, LossParameter
from cafx.kernel.blob import shape_text


class LabelledLayer(Layer):
    """A layer that compares scores (bottom 0) with one class label per position (bottom 1).

    Scores are viewed as outer×classes×inner, labels as outer×inner; `set_class_axes` chooses the axes.
    """

    integer_bottoms: ClassVar[tuple[int, ...]] = (1,)
    outer = classes = inner = 0

    def set_class_axes(self, bottom: list[Blob], first: int, last: int | None = None) -> None:
        """Set which axes of the scores are the classes; the other axes are positions.

        Args:
            bottom: scores and labels.
            first: first class axis.
            last: the axis after the last class axis (default: ``first + 1``).

        Raises:
            CafxError: the number of labels is not the number of positions.
        """
        shape, last = bottom[0].shape, first + 1 if last is None else last
        self.outer, self.inner = math.prod(shape[:first]), math.prod(shape[last:])
        self.classes = math.prod(shape[first:last])
        if bottom[1].count() != self.outer * self.inner:
            raise self.error(
                f"expects one label per position of the scores {shape_text(shape)}",
                found=f"{bottom[1].count()} labels",
                expected=self.outer * self.inner,
                remedy="check the axis of the classes, and that labels are indices, not one-hot",
            )

    def scores(self, array: Any) -> Any:
        """An array of the shape of bottom 0, viewed as outer×classes×inner."""
        return array.reshape(self.outer, self.classes, self.inner)

    def labels(self, bottom: list[Blob], ignored: int | None = None) -> tuple[Any, Any]:
        """The labels, and which of them count.

        Args:
            bottom: scores and labels.
            ignored: label that does not count; it reads as 0.

        Returns:
            The labels as integers, outer×inner, and a mask of those that count (None: all).

        Raises:
            CafxError: a label is not a class index; on a device it is raised where results are read.
        """
        labels = bottom[1].data.reshape(self.outer, self.inner)
        valid = None
        if ignored is not None:
            valid = self.xp.trunc(labels) != ignored
            labels = self.xp.where(valid, labels, 0)

        def error(lowest: float, highest: float) -> CafxError:
            return self.error(
                "a label is not a class index",
                found=f"labels from {lowest:g} to {highest:g}",
                expected=f"0 to {self.classes - 1}" + ("" if ignored is None else f", or {ignored}"),
            )

        return self.context.checks.indices(labels, self.classes, error, f"{self.name}: labels"), valid

    def count(self, valid: Any) -> Any:
        """How many labels count, in the engine's place, for `Normaliser`; None for all.

        Args:
            valid: the mask that `labels` returned.
        """
        return None if valid is None else valid.sum()

    def at(self, labels: Any) -> tuple[Any, Any, Any]:
        """Index that selects the labelled class at each position of an outer×classes×inner array."""
        arange = self.xp.arange
        return arange(self.outer)[:, None], labels, arange(self.inner)


class Normaliser:
    """The divisor of a loss over outer×inner positions (LossParameter).

    ``normalization`` FULL: all positions; VALID: positions whose label is not ignored; BATCH_SIZE: the
    outer count; NONE: 1; PRE_FIXED, which a dialect adds: its ``pre_fixed_normalizer``. The divisor is at least 1,
    so a batch of ignored labels has loss 0.

    Args:
        options: the layer's LossParameter.
        default: the mode if neither ``normalization`` nor ``normalize`` is set.
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
        self.fixed = getattr(options, "pre_fixed_normalizer", 1.0)

    def __call__(self, outer: int, inner: int, valid: Any = None) -> Any:
        """The divisor for ``outer``×``inner`` positions.

        Args:
            outer, inner: numbers of positions.
            valid: how many of them count, an integer in the engine's place; None for all.

        Returns:
            A number; on a device that ``valid`` is on and decides it, an array without axes.
        """
        modes = LossParameter.NormalizationMode
        everything = outer * inner
        divisor = {
            modes.FULL: everything,
            modes.VALID: everything if valid is None else valid,
            modes.BATCH_SIZE: outer,
            modes.NONE: 1,
        }.get(self.mode, self.fixed)
        if isinstance(divisor, (int, float, np.integer)):
            return float(max(1, divisor))
        return divisor.clip(1, None).astype(np.float32)
