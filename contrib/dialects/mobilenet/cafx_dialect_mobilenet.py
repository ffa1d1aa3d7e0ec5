"""Fields of the forks that MobileNet-SSD and MobileNet-YOLO are trained with."""

from __future__ import annotations

from cafx.kernel import Message, option
from cafx.kernel.schema import Dialect, extends, ignored

__version__ = "0.1.0"


@extends("ConvolutionParameter")
class MobileNetConvolution(Message):
    """Padding as in TensorFlow."""

    tf_pad: bool = option(
        None, "bool", False, doc="pad at the end only", effect=ignored("padding is that of pad, pad_h and pad_w")
    )


class MobileNet(Dialect):
    """Fields of chuanqi305/ssd and eric612/MobileNet-YOLO."""

    fork = "eric612/MobileNet-YOLO"
    declares = (MobileNetConvolution,)
    types = ("Yolov3", "RegionLoss", "DepthwiseConvolution")
