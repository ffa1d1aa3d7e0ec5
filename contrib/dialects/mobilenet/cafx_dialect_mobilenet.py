"""Fields of the forks that MobileNet-SSD and MobileNet-YOLO are trained with."""

from __future__ import annotations

from typing import Any

from cafx.kernel import CafxError, Message, option
from cafx.kernel.schema import Dialect, extends, rewritten

__version__ = "0.1.0"


def refuse_end_padding(convolution: Any) -> None:
    """Refuse ``tf_pad: true``, which pads at the end only."""
    if convolution.tf_pad:
        remedy = "pad at the end with a further layer, or retrain with pad"
        raise CafxError("ConvolutionParameter.tf_pad has no counterpart", found="tf_pad: true", remedy=remedy)


@extends("ConvolutionParameter")
class MobileNetConvolution(Message):
    """Padding as in TensorFlow."""

    tf_pad: bool = option(
        None, "bool", False, doc="pad at the end only", effect=rewritten(refuse_end_padding, "nothing if false")
    )


class MobileNet(Dialect):
    """Fields of chuanqi305/ssd and eric612/MobileNet-YOLO."""

    fork = "eric612/MobileNet-YOLO"
    declares = (MobileNetConvolution,)
    types = ("Yolov3", "RegionLoss", "DepthwiseConvolution")
