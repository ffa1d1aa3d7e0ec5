"""Detections: boxes with a class and a score, freed of duplicates, as rows of a top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, Layer
from cafx_lib_boxes import suppress

Array = npt.NDArray[Any]
ROW = 7
"""Values of a row: image, label, score, xmin, ymin, xmax, ymax."""


@attrs.frozen
class Detections:
    """Boxes with a class and a score each.

    Attributes:
        boxes: centre x, centre y, width, height relative to the image, M×4.
        classes: classes from 0.
        scores: scores.
    """

    boxes: Array
    classes: Array
    scores: Array

    @classmethod
    def joined(cls, parts: Sequence[Detections]) -> Detections:
        """The detections of all parts, in their order."""
        fields = zip(*(attrs.astuple(part, recurse=False) for part in parts), strict=True)
        return cls(*(np.concatenate(each) for each in fields))

    @classmethod
    def passing(cls, boxes: Array, scores: Array, passes: Array) -> Detections:
        """A detection for each score that passes.

        Args:
            boxes: …×4.
            scores: …×K, for each class.
            passes: which scores pass, …×K.
        """
        *index, classes = np.nonzero(passes)
        return cls(boxes[tuple(index)], classes, scores[passes])

    def rows(self, threshold: float) -> Array:
        """Rows (0, class + 1, score, xmin, ymin, xmax, ymax) of the detections that remain, best first.

        Args:
            threshold: of two boxes that overlap by this or more, whatever their classes, the better one remains.
        """
        half = self.boxes[:, 2:] / 2
        corners = np.concatenate([self.boxes[:, :2] - half, self.boxes[:, :2] + half], axis=1)
        kept = suppress(corners, self.scores, threshold, inclusive=True)
        image = np.zeros(len(kept), corners.dtype)
        return np.column_stack([image, self.classes[kept] + 1, self.scores[kept], corners[kept]])


class DetectionsLayer(Layer):
    """Base class of layers whose top has a row per detection."""

    bottoms = (1, None)
    forward_only = True
    dynamic_shape = True
    capturable = False

    def detect(self, bottom: list[Blob]) -> Detections:
        """The detections of the batch before duplicates are removed.

        Args:
            bottom: the inputs.
        """
        raise NotImplementedError

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has one row until forward knows how many there are."""
        top[0].reshape(1, 1, 1, ROW)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decode, remove duplicates; without detections, a row (image, -1, …) per image."""
        rows = self.detect(bottom).rows(self.options.nms_threshold)
        if not len(rows):
            rows = np.full((bottom[0].shape[0], ROW), -1.0)
            rows[:, 0] = np.arange(len(rows))
        top[0].reshape(1, 1, *rows.shape)
        top[0].set_data(rows[None, None])
