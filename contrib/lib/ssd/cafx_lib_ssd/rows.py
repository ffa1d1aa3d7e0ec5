"""Rows of ground truth, and boxes in the coordinates of an image."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_ssd.files import ImageSize
from cafx_lib_ssd.options import ResizeParameter

COLUMNS = 8
Mode = ResizeParameter.Resize_mode
Array = npt.NDArray[Any]


@attrs.frozen
class GroundTruth:
    """The objects of a batch, from rows (image, label, instance, xmin, ymin, xmax, ymax, difficult).

    Attributes:
        images: position of each object's image in the batch.
        labels: its class.
        boxes: its box, of shape (objects, 4).
        difficult: whether it is hard to recognise.
    """

    images: Array
    labels: Array
    boxes: Array
    difficult: Array

    @classmethod
    def of(cls, rows: Array, *, stop: bool = False) -> GroundTruth:
        """Read rows of any shape whose last axis has eight values; an image of −1 means no object.

        Args:
            rows: the rows.
            stop: whether such a row ends the list; by default it is skipped.
        """
        rows = rows.reshape(-1, COLUMNS)
        absent = rows[:, 0] == -1
        rows = rows[: int(absent.argmax())] if stop and absent.any() else rows[~absent]
        images, labels = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
        return cls(images, labels, rows[:, 3:7], rows[:, 7] != 0)

    def relabelled(self, label: int) -> GroundTruth:
        """The same objects, all of one class."""
        return attrs.evolve(self, labels=np.full_like(self.labels, label))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Any) -> GroundTruth:
        """The objects that an index array or a mask selects."""
        return GroundTruth(self.images[which], self.labels[which], self.boxes[which], self.difficult[which])


def in_image(boxes: Array, size: ImageSize, resize: ResizeParameter | None = None) -> Array:
    """Boxes in pixels of the original image, cut to it, from fractions of the image that the net was given.

    Args:
        boxes: shape (N, 4).
        size: the original image.
        resize: how the image was resized: WARP keeps fractions; FIT_LARGE_SIZE_AND_PAD has padded the shorter
            side; FIT_SMALL_SIZE refers to ``height_scale``×``width_scale`` pixels of the original image, if set.
    """
    scale = np.array([size.width, size.height] * 2, boxes.dtype)
    if resize is not None and refers_to_fixed_size(resize):
        fixed = np.array([resize.width_scale, resize.height_scale] * 2, boxes.dtype)
        return np.clip(boxes * fixed, boxes.dtype.type(0), scale)
    if resize is not None and resize.resize_mode == Mode.FIT_LARGE_SIZE_AND_PAD:
        boxes = _without_padding(boxes, size, resize)
    return np.clip(boxes, boxes.dtype.type(0), boxes.dtype.type(1)) * scale


def refers_to_fixed_size(resize: ResizeParameter | None) -> bool:
    """Whether boxes refer to ``height_scale``×``width_scale`` pixels of the original image."""
    if resize is None or resize.resize_mode != Mode.FIT_SMALL_SIZE:
        return False
    return bool(resize.height_scale and resize.width_scale)


def _without_padding(boxes: Array, size: ImageSize, resize: ResizeParameter) -> Array:
    """Fractions of the part of the padded image that shows the original one."""
    padded = np.array([resize.width, resize.height], np.float64)
    shown = np.array([size.width, size.height]) * min(resize.width / size.width, resize.height / size.height)
    border = (padded - shown) / 2
    return ((boxes * np.tile(padded, 2) - np.tile(border, 2)) / np.tile(shown, 2)).astype(boxes.dtype)
