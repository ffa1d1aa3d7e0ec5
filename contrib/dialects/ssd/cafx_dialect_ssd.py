"""Fields that SSD adds to Caffe's TransformationParameter and SolverParameter."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Message, at_least, message, one_of, option, within
from cafx.kernel.schema import Dialect, extends, read_by, rewritten
from cafx_lib_ssd import ResizeParameter

if TYPE_CHECKING:
    from cafx.conformance.kinds.dialect import DialectCase

__version__ = "0.1.0"
READ = read_by("AnnotatedData")
SCORED = read_by("DetectionEvaluate")
probability = within(0, 1)


@message()
class SaltPepperParameter(Message):
    """Pixels that noise replaces."""

    fraction: float = option(1, "float", 0.0, doc="fraction of the pixels, drawn with replacement", check=probability)
    value: tuple[float, ...] = option(2, "float", repeated=True, doc="their value, or one per channel")


@message()
class NoiseParameter(Message):
    """Effects that degrade an image: those that are set, in a fixed order."""

    prob: float = option(1, "float", 0.0, doc="probability of degrading an image; if unset, always", check=probability)
    hist_eq: bool = option(2, "bool", False, doc="equalise the histogram of the luminance")
    inverse: bool = option(3, "bool", False, doc="invert all channels")
    decolorize: bool = option(4, "bool", False, doc="make all channels equal to the luminance")
    gauss_blur: bool = option(5, "bool", False, doc="blur by a 7×7 Gaussian of standard deviation 1.5")
    jpeg: float = option(6, "float", -1.0, doc="compress as JPEG of this quality; not if 0 or less")
    posterize: bool = option(7, "bool", False, doc="reduce each channel to four levels")
    erode: bool = option(8, "bool", False, doc="minimum over the pixel and its four neighbours")
    saltpepper: bool = option(9, "bool", False, doc="replace random pixels, see saltpepper_param")
    saltpepper_param: SaltPepperParameter = option(10, SaltPepperParameter, doc="the pixels of saltpepper")
    clahe: bool = option(11, "bool", False, doc="equalise the histogram of the luminance adaptively")
    convert_to_hsv: bool = option(12, "bool", False, doc="convert to hue, saturation and value")
    convert_to_lab: bool = option(13, "bool", False, doc="convert to L*a*b*")


@message()
class DistortionParameter(Message):
    """Random changes of colour."""

    brightness_prob: float = option(1, "float", 0.0, doc="probability of changing the brightness", check=probability)
    brightness_delta: float = option(2, "float", 0.0, doc="largest change in grey levels", check=at_least(0))
    contrast_prob: float = option(3, "float", 0.0, doc="probability of changing the contrast", check=probability)
    contrast_lower: float = option(4, "float", 0.0, doc="smallest factor", check=at_least(0))
    contrast_upper: float = option(5, "float", 0.0, doc="largest factor", check=at_least(0))
    hue_prob: float = option(6, "float", 0.0, doc="probability of changing the hue", check=probability)
    hue_delta: float = option(7, "float", 0.0, doc="largest change, in units of 2°", check=at_least(0))
    saturation_prob: float = option(8, "float", 0.0, doc="probability of changing the saturation", check=probability)
    saturation_lower: float = option(9, "float", 0.0, doc="smallest factor", check=at_least(0))
    saturation_upper: float = option(10, "float", 0.0, doc="largest factor", check=at_least(0))
    random_order_prob: float = option(11, "float", 0.0, doc="probability of reordering channels", check=probability)


@message()
class ExpansionParameter(Message):
    """Random placement on a larger canvas, filled with the mean."""

    prob: float = option(1, "float", 1.0, doc="probability of expanding an image", check=probability)
    max_expand_ratio: float = option(2, "float", 1.0, doc="largest ratio of canvas to image", check=at_least(1))


@message()
class EmitConstraint(Message):
    """Which boxes a crop keeps."""

    class EmitType(IntEnum):
        """What decides."""

        CENTER = 0
        MIN_OVERLAP = 1

    emit_type: EmitType = option(1, EmitType, EmitType.CENTER, doc="keep boxes by their centre or covered fraction")
    emit_overlap: float = option(2, "float", 0.0, doc="MIN_OVERLAP: fraction of the box above which it is kept")


@extends("TransformationParameter")
class SSDTransformation(Message):
    """SSD's transformations of images and their boxes."""

    resize_param: ResizeParameter = option(8, ResizeParameter, doc="resizing after sampling", effect=READ)
    noise_param: NoiseParameter = option(9, NoiseParameter, doc="degradation after resizing", effect=READ)
    emit_constraint: EmitConstraint = option(10, EmitConstraint, doc="which boxes a crop keeps", effect=READ)
    crop_h: int = option(11, "uint32", 0, doc="height of the crop, with crop_w instead of crop_size", effect=READ)
    crop_w: int = option(12, "uint32", 0, doc="width of the crop", effect=READ)
    distort_param: DistortionParameter = option(13, DistortionParameter, doc="changes of colour", effect=READ)
    expand_param: ExpansionParameter = option(14, ExpansionParameter, doc="placement on a larger canvas", effect=READ)


@extends("SolverParameter")
class SSDSolver(Message):
    """How SSD's solver evaluates detectors and adapts the learning rate."""

    eval_type: str = option(
        41,
        "string",
        "classification",
        doc="classification or detection",
        check=one_of("classification", "detection"),
        effect=rewritten(lambda _: None, "nothing: the layers of the test net say what is measured"),
    )
    ap_version: str = option(42, "string", "Integral", doc="formula of average precision", effect=SCORED)
    plateau_winsize: tuple[int, ...] = option(
        43, "int32", repeated=True, doc="windows of the policy plateau", effect=read_by("policy plateau")
    )
    show_per_class_result: bool = option(44, "bool", False, doc="print the precision of each class", effect=SCORED)


class SSD(Dialect):
    """Fields of SSD (Liu et al., 2016)."""

    fork = "SSD"
    declares = (SSDTransformation, SSDSolver)
    types = ("AnnotatedData", "MultiBoxLoss", "DetectionOutput", "DetectionEvaluate", "PriorBox")

    @classmethod
    def cases(cls) -> Iterable[DialectCase]:
        """How a detector is evaluated says its test net."""
        from cafx.conformance.kinds.dialect import DialectCase

        yield DialectCase("evaluation", 'eval_type: "detection" max_iter: 3', "max_iter: 3", "SolverParameter")
