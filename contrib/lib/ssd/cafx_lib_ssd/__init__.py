"""What SSD's layers share: messages, label maps, image sizes, ground truth rows and boxes in image coordinates.

A layer that reads label maps or annotated datums, or whose options use `PriorBoxParameter.CodeType`, lists the
messages in its ``declares``.
"""

from cafx_lib_ssd.annotations import (
    AnnotatedDatum,
    Annotation,
    AnnotationGroup,
    AnnotationType,
    LabelMap,
    LabelMapItem,
    NormalizedBBox,
)
from cafx_lib_ssd.files import ImageSize, read_label_map, read_sizes
from cafx_lib_ssd.options import CodeType, NonMaximumSuppressionParameter, PriorBoxParameter, ResizeParameter
from cafx_lib_ssd.predictions import count_priors
from cafx_lib_ssd.rows import GroundTruth, in_image, refers_to_fixed_size

__all__ = [
    "AnnotatedDatum",
    "Annotation",
    "AnnotationGroup",
    "AnnotationType",
    "CodeType",
    "GroundTruth",
    "ImageSize",
    "LabelMap",
    "LabelMapItem",
    "NonMaximumSuppressionParameter",
    "NormalizedBBox",
    "PriorBoxParameter",
    "ResizeParameter",
    "count_priors",
    "in_image",
    "read_label_map",
    "read_sizes",
    "refers_to_fixed_size",
]
