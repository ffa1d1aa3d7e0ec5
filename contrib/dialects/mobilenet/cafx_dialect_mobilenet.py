"""Fields of the forks that MobileNet-SSD and MobileNet-YOLO are trained with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Message, option
from cafx.kernel.schema import Dialect, extends, read_by, rewritten
from cafx_lib_ssd import ResizeParameter

if TYPE_CHECKING:
    from cafx.conformance.kinds.dialect import DialectCase

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


@extends("TransformationParameter")
class MobileNetTransformation(Message):
    """Several sizes, of which one is drawn for each batch."""

    resize_param: tuple[ResizeParameter, ...] = option(
        None,
        ResizeParameter,
        repeated=True,
        doc="resizing after sampling: one is drawn for each batch with its prob",
        effect=read_by("AnnotatedData"),
    )


class MobileNet(Dialect):
    """Fields of chuanqi305/ssd and eric612/MobileNet-YOLO."""

    fork = "MobileNet-SSD, MobileNet-YOLO"
    declares = (MobileNetConvolution, MobileNetTransformation)
    types = ("Yolov3", "RegionLoss", "DepthwiseConvolution")

    @classmethod
    def cases(cls) -> Iterable[DialectCase]:
        """Padding on both sides, and at the end only."""
        from cafx.conformance.kinds.dialect import DialectCase

        yield DialectCase("both", "num_output: 2 tf_pad: false", "num_output: 2", "ConvolutionParameter")
        yield DialectCase("end", "num_output: 2 tf_pad: true", message="ConvolutionParameter", error="tf_pad")
