"""The objects of a batch, from rows (class, centre x, centre y, width, height)."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import Layer
from cafx_lib_yolo.overlap import Overlap

Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]
ROW = 5


@attrs.frozen
class Objects:
    """The objects of a batch, in the order of its images.

    Attributes:
        images: the image of each object.
        classes: its class.
        boxes: its centre and size relative to the image, M×4.
    """

    images: Indices
    classes: Indices
    boxes: Array

    @classmethod
    def read(cls, layer: Layer, labels: Array, classes: int, ends: int) -> Objects:
        """The objects in a blob of labels.

        Args:
            layer: the layer, for errors.
            labels: N×…×5, rows of class, centre x, centre y, width, height.
            classes: number of classes.
            ends: the column whose first 0 ends the objects of an image.

        Raises:
            CafxError: a class is not an index, or a box is not a box in the image.
        """
        rows = labels.reshape(labels.shape[0], math.prod(labels.shape[1:]) // ROW, ROW)
        listed = np.logical_and.accumulate(rows[..., ends] != 0, axis=1)
        images = np.nonzero(listed)[0]
        found = rows[listed]
        _check(layer, found, classes)
        return cls(images, found[:, 0].astype(np.int64), found[:, 1:])

    def __len__(self) -> int:
        return len(self.images)

    def of(self, image: int) -> Array:
        """The boxes of one image."""
        first, last = np.searchsorted(self.images, [image, image + 1])
        return self.boxes[first:last]

    def closest(self, sizes: Any) -> Indices:
        """For each object, the index of the size closest to its own: with the largest IoU if their centres coincide.

        Args:
            sizes: widths and heights relative to the image: A×2, or M×A×2 if each object has sizes of its own.

        Returns:
            M indices; -1 where all sizes are 0.
        """
        if not len(self) or not sizes.shape[-2]:
            return np.full(len(self), -1)
        centred = np.concatenate([np.zeros_like(sizes), sizes], axis=-1)
        own = np.concatenate([np.zeros_like(self.boxes[:, 2:]), self.boxes[:, 2:]], axis=-1)
        overlap = Overlap(np, centred, own[:, None]).iou
        return np.where(overlap.max(axis=1) > 0, overlap.argmax(axis=1), -1)

    def only(self, chosen: npt.NDArray[np.bool_] | Indices) -> Objects:
        """Some of the objects.

        Args:
            chosen: mask or indices.
        """
        return Objects(self.images[chosen], self.classes[chosen], self.boxes[chosen])

    def cells(self, height: int, width: int) -> tuple[Indices, Indices]:
        """Row and column of the cell of each object's centre; a centre on the image's far border is in the last cell.

        Args:
            height, width: cells of the grid.
        """
        columns = (self.boxes[:, 0] * width).astype(np.int64)
        rows = (self.boxes[:, 1] * height).astype(np.int64)
        return np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)


def rounds(keys: Indices) -> list[Indices]:
    """Positions in groups without a repeated key, such that a key's positions keep their order.

    Args:
        keys: integers.

    Example:
        >>> [each.tolist() for each in rounds(np.array([7, 3, 7, 7]))]
        [[1, 0], [2], [3]]
    """
    order = np.argsort(keys, kind="stable")
    ordered, positions = keys[order], np.arange(len(keys))
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(keys)]
    turns = positions - np.maximum.accumulate(np.where(begins, positions, 0))
    return [order[turns == turn] for turn in range(turns.max(initial=-1) + 1)]


def _check(layer: Layer, rows: Array, classes: int) -> None:
    labels, boxes = rows[:, 0], rows[:, 1:]
    wrong = ~((labels > -1) & (labels < classes))
    if wrong.any():
        raise layer.error("a label is not a class index", found=f"{labels[wrong][0]:g}", expected=f"0 to {classes - 1}")
    wrong = ~((boxes >= 0) & (boxes <= 1)).all(axis=1) | ((boxes[:, 2] > 0) & ~(boxes[:, 3] > 0))
    if wrong.any():
        found = ", ".join(f"{value:g}" for value in boxes[wrong][0])
        raise layer.error(
            "an object is not in the image",
            found=f"box {found}",
            expected="centre x, centre y, width and height from 0 to 1",
            remedy="boxes are relative to the image, as AnnotatedData gives them with yolo_data_type: 1",
        )
