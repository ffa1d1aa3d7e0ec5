"""Options of AnnotatedData."""

from __future__ import annotations

from cafx.kernel import Message, above, at_least, message, one_of, option, within
from cafx_lib_ssd import AnnotationType


@message()
class Sampler(Message):
    """Sizes of random windows, relative to the image."""

    min_scale: float = option(1, "float", 1.0, doc="smallest square root of the area", check=above(0))
    max_scale: float = option(2, "float", 1.0, doc="largest square root of the area", check=within(0, 1))
    min_aspect_ratio: float = option(3, "float", 1.0, doc="smallest width / height", check=above(0))
    max_aspect_ratio: float = option(4, "float", 1.0, doc="largest width / height", check=above(0))


@message()
class SampleConstraint(Message):
    """Bounds that a window must keep with one of the boxes; without bounds, any window will do."""

    min_jaccard_overlap: float = option(1, "float", doc="least shared area / united area")
    max_jaccard_overlap: float = option(2, "float", doc="largest shared area / united area")
    min_sample_coverage: float = option(3, "float", doc="least shared area / area of the window")
    max_sample_coverage: float = option(4, "float", doc="largest shared area / area of the window")
    min_object_coverage: float = option(5, "float", doc="least shared area / area of the box")
    max_object_coverage: float = option(6, "float", doc="largest shared area / area of the box")


@message()
class BatchSampler(Message):
    """One way to draw windows of an image."""

    use_original_image: bool = option(1, "bool", True, doc="draw windows of the image; false draws none")
    sampler: Sampler = option(2, Sampler, doc="sizes of the windows")
    sample_constraint: SampleConstraint = option(3, SampleConstraint, doc="bounds that they must keep")
    max_sample: int = option(4, "uint32", doc="windows to keep; unset for all that satisfy the constraint")
    max_trials: int = option(5, "uint32", 100, doc="windows to draw", check=at_least(0))


@message("annotated_data_param", 200)
class AnnotatedDataParameter(Message):
    """Options of AnnotatedData, besides data_param."""

    batch_sampler: tuple[BatchSampler, ...] = option(
        1, BatchSampler, repeated=True, doc="ways to cut a random window out of the image"
    )
    label_map_file: str = option(2, "string", doc="label map; a box with another label is an error")
    anno_type: AnnotationType = option(3, AnnotationType, doc="kind of annotations, in place of that of each record")
    yolo_data_type: int = option(
        4, "int32", 0, doc="1: the second top has YOLO's rows, and yolo_data_jitter is read", check=one_of(0, 1)
    )
    yolo_data_jitter: float = option(
        5,
        "float",
        0.3,
        doc="YOLO without batch_sampler: the largest part of a side that is cut off",
        check=within(0, 1),
    )
    train_diffcult: bool = option(6, "bool", False, doc="YOLO's rows have difficult boxes too")
