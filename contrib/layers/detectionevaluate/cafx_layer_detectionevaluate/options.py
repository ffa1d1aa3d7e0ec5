"""Options of DetectionEvaluate."""

from __future__ import annotations

from cafx.kernel import Message, message, option, within
from cafx_lib_ssd import ResizeParameter

MOST_CLASSES = 1_000_000
"""The top has a row for each class."""


@message("detection_evaluate_param", 205)
class DetectionEvaluateParameter(Message):
    """Options of DetectionEvaluate."""

    num_classes: int = option(1, "uint32", doc="number of classes, background included", check=within(0, MOST_CLASSES))
    background_label_id: int = option(2, "uint32", 0, doc="class that is no object")
    overlap_threshold: float = option(3, "float", 0.5, doc="smallest overlap of a hit")
    evaluate_difficult_gt: bool = option(4, "bool", True, doc="whether difficult objects count")
    name_size_file: str = option(5, "string", doc="lines 'name height width' of the images; boxes are then in pixels")
    resize_param: ResizeParameter = option(6, ResizeParameter, doc="how the images were resized")
