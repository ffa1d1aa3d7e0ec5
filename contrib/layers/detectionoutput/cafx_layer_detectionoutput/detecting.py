"""The detections of one image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_layer_detectionoutput.options import DetectionOutputParameter
from cafx_lib_boxes import suppress_classes

COLUMNS = 7
"""Values of a detection, its image included."""


def foreground(options: DetectionOutputParameter) -> list[int]:
    """The classes but the background."""
    return [each for each in range(options.num_classes) if each != options.background_label_id]


def candidates(options: DetectionOutputParameter, scores: npt.NDArray[Any]) -> slice | npt.NDArray[np.int64]:
    """The priors of which a class but the background has a score above ``confidence_threshold``: usually few.

    Args:
        options: the layer's options.
        scores: shape (classes, priors).
    """
    if not options.has("confidence_threshold"):
        return slice(None)
    above = scores > options.confidence_threshold
    if 0 <= options.background_label_id < len(above):
        above[options.background_label_id] = False
    return np.flatnonzero(above.any(axis=0))


def detect(options: DetectionOutputParameter, boxes: npt.NDArray[Any], scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows (class, score, xmin, ymin, xmax, ymax), by class and descending score.

    Args:
        options: the layer's options.
        boxes: of candidates; shape (1, candidates, 4), or (classes, candidates, 4) without ``share_location``.
        scores: shape (classes, candidates).
    """
    suppression = options.nms_param
    shared = options.share_location
    found = suppress_classes(
        boxes[0] if shared else dict(enumerate(boxes)),
        scores,
        foreground(options),
        suppression.nms_threshold,
        keep_top_k=options.keep_top_k,
        above=options.confidence_threshold if options.has("confidence_threshold") else None,
        top_k=suppression.top_k if suppression.has("top_k") else -1,
        eta=suppression.eta,
    )
    rows = np.empty((sum(len(kept) for _, kept in found), COLUMNS - 1), scores.dtype)
    start = 0
    for label, kept in found:
        part = rows[start : start + len(kept)]
        part[:, 0], part[:, 1], part[:, 2:] = label, scores[label, kept], boxes[0 if shared else label][kept]
        start += len(kept)
    return rows
