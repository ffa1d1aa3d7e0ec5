"""Hits and misses, and the precision that follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Layer
from cafx_layer_detectionevaluate.options import DetectionEvaluateParameter
from cafx_lib_boxes import average_precision, overlaps
from cafx_lib_ssd import GroundTruth, ImageSize, in_image, refers_to_fixed_size

STATUS = 5
"""Values of a row of the top."""
Array = npt.NDArray[Any]


def classes_of(options: DetectionEvaluateParameter) -> list[int]:
    """The classes but the background."""
    return [label for label in range(options.num_classes) if label != options.background_label_id]


def check_classes(layer: Layer, *labels: Array) -> None:
    """Check that labels are classes other than the background.

    Args:
        layer: the layer that errors name.
        labels: arrays of labels.

    Raises:
        CafxError: one is not.
    """
    options: DetectionEvaluateParameter = layer.options
    for each in labels:
        wrong = each[~np.isin(each, classes_of(options))]
        if len(wrong):
            expected = f"a class below {options.num_classes} other than {options.background_label_id}"
            raise layer.error("not a class of objects", found=f"{wrong[0]:g}", expected=expected)


def judge(options: DetectionEvaluateParameter, found: Array, truth: GroundTruth, size: ImageSize | None) -> Array:
    """Rows (image, class, score, hit, miss) of one image and class; sorted by score where there are objects.

    Args:
        options: the layer's options.
        found: rows (image, class, score, xmin, ymin, xmax, ymax).
        truth: the objects.
        size: the image's size, if boxes are compared in pixels.
    """
    if not len(truth):
        return np.column_stack([found[:, :3], np.zeros(len(found)), np.ones(len(found))])
    found = found[np.argsort(-found[:, 2], kind="stable")]
    shared = _overlaps(options, found[:, 3:], truth.boxes, size)
    best = shared.argmax(axis=1)
    near = shared[np.arange(len(found)), best] >= shared.dtype.type(options.overlap_threshold)
    counts = options.evaluate_difficult_gt | ~truth.difficult[best]
    first = np.zeros(len(found), bool)
    candidates = np.flatnonzero(near & counts)
    first[candidates[np.unique(best[candidates], return_index=True)[1]]] = True
    return np.column_stack([found[:, :3], first, ~near | (counts & ~first)])


def _overlaps(options: DetectionEvaluateParameter, boxes: Array, objects: Array, size: ImageSize | None) -> Array:
    """Overlaps, in whole pixels if the size is known; as in SSD, areas are not if boxes refer to a fixed size."""
    if size is None:
        return overlaps(boxes, objects)
    resize = options.resize_param if options.has("resize_param") else None
    boxes, objects = in_image(boxes, size, resize), in_image(objects, size, resize)
    return overlaps(boxes, objects, pixels=True, pixel_areas=not refers_to_fixed_size(resize))


def precisions(rows: Array, version: str) -> dict[int, float]:
    """The average precision of each class, by class.

    Args:
        rows: the tops of all batches, of shape (rows, 5).
        version: see `cafx_lib_boxes.average_precision`.
    """
    heads, found = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
    precision = {}
    for label in np.unique(heads[:, 1]):
        own = found[found[:, 1] == label]
        count = int(heads[heads[:, 1] == label, 2].sum())
        precision[int(label)] = average_precision(own[:, 2], own[:, 3], own[:, 4], count, version)
    return precision
