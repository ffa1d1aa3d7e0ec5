"""SSD's records: annotated images and label maps."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from cafx.kernel import Message, message, option


@message()
class NormalizedBBox(Message):
    """A box in fractions of the image's width and height."""

    xmin: float = option(1, "float", doc="left edge")
    ymin: float = option(2, "float", doc="upper edge")
    xmax: float = option(3, "float", doc="right edge")
    ymax: float = option(4, "float", doc="lower edge")
    label: int = option(5, "int32", doc="class")
    difficult: bool = option(6, "bool", doc="hard to recognise")
    score: float = option(7, "float", doc="score of a detection")
    size: float = option(8, "float", doc="area")


@message()
class Annotation(Message):
    """One object of a class."""

    instance_id: int = option(1, "int32", 0, doc="number of the object within its group")
    bbox: NormalizedBBox = option(2, NormalizedBBox, doc="its box")


@message()
class AnnotationGroup(Message):
    """The objects of one class in an image."""

    group_label: int = option(1, "int32", doc="class of the objects")
    annotation: tuple[Annotation, ...] = option(2, Annotation, repeated=True, doc="the objects")


@message()
class AnnotatedDatum(Message):
    """An image with annotations, the value of a database record."""

    class AnnotationType(IntEnum):
        """Boxes."""

        BBOX = 0

    datum: Any = option(1, "Datum", doc="the image")
    type: AnnotationType = option(2, AnnotationType, doc="kind of the annotations")
    annotation_group: tuple[AnnotationGroup, ...] = option(
        3, AnnotationGroup, repeated=True, doc="the objects, by class"
    )


AnnotationType = AnnotatedDatum.AnnotationType


@message()
class LabelMapItem(Message):
    """One class of a label map."""

    name: str = option(1, "string", doc="name in annotations and result files")
    label: int = option(2, "int32", doc="number of the class")
    display_name: str = option(3, "string", doc="name for people")


@message()
class LabelMap(Message):
    """The classes of a data set: ``item { name: "cat" label: 1 display_name: "cat" }``."""

    item: tuple[LabelMapItem, ...] = option(1, LabelMapItem, repeated=True, doc="the classes")
