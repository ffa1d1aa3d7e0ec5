"""Fields that DeepLab, and PSPNet after it, add to Caffe's TransformationParameter and ImageDataParameter."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import Message, above, option
from cafx.kernel.schema import Dialect, extends, read_by

__version__ = "0.1.0"
READ = read_by("ImageSegData")


class LabelType(IntEnum):
    """What the second word of a line is."""

    NONE = 0
    IMAGE = 1
    PIXEL = 2


@extends("TransformationParameter")
class DeepLabTransformation(Message):
    """Joint transformations of images and their labels."""

    scale_factors: tuple[float, ...] = option(
        8, "float", repeated=True, doc="factors, of which one resizes each image", check=above(0), effect=READ
    )
    crop_width: int = option(9, "uint32", 0, doc="width of the crop", effect=READ)
    crop_height: int = option(10, "uint32", 0, doc="height of the crop, with crop_width", effect=READ)


@extends("ImageDataParameter")
class DeepLabImageData(Message):
    """Labels of pixels."""

    label_type: LabelType = option(
        None, LabelType, LabelType.PIXEL, doc="PIXEL: an image of labels; IMAGE: one number; NONE", effect=READ
    )
    ignore_label: int = option(None, "int32", 255, doc="label of padding, and of all pixels with NONE", effect=READ)


class DeepLab(Dialect):
    """Fields of DeepLab (Chen et al., 2015)."""

    fork = "PSPNet, DeepLab"
    declares = (DeepLabTransformation, DeepLabImageData)
    types = ("ImageSegData",)
