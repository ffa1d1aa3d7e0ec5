"""Options that several of SSD's layers have."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import Message, message, option
from cafx.kernel.schema import above, at_least, within


@message("prior_box_param", 203)
class PriorBoxParameter(Message):
    """Options of PriorBox."""

    class CodeType(IntEnum):
        """How a box is coded relative to its prior."""

        CORNER = 1
        CENTER_SIZE = 2
        CORNER_SIZE = 3

    min_size: tuple[float, ...] = option(
        1, "float", repeated=True, doc="sides of the small square boxes, in pixels of the image, cut to whole numbers"
    )
    max_size: tuple[float, ...] = option(
        2, "float", repeated=True, doc="for each min_size a larger size; adds a square of side √(min·max)"
    )
    aspect_ratio: tuple[float, ...] = option(
        3, "float", repeated=True, doc="width / height of further boxes", check=above(0)
    )
    flip: bool = option(4, "bool", True, doc="whether each aspect ratio is followed by its inverse")
    clip: bool = option(5, "bool", False, doc="whether boxes are cut to the image")
    variance: tuple[float, ...] = option(
        6, "float", repeated=True, doc="one or four variances; 0.1 if there is none", check=above(0)
    )
    img_size: int = option(7, "uint32", doc="side of the square image; default: that of the second bottom")
    img_h: int = option(8, "uint32", doc="height of the image; needs img_w")
    img_w: int = option(9, "uint32", doc="width of the image; needs img_h")
    step: float = option(10, "float", doc="distance of cells in pixels; default: image / feature map")
    step_h: float = option(11, "float", doc="vertical distance of cells; needs step_w")
    step_w: float = option(12, "float", doc="horizontal distance of cells; needs step_h")
    offset: float = option(13, "float", 0.5, doc="position of a box's centre in its cell")


CodeType = PriorBoxParameter.CodeType


@message()
class NonMaximumSuppressionParameter(Message):
    """Non-maximum suppression."""

    nms_threshold: float = option(1, "float", 0.3, doc="largest overlap of a box with a better one", check=at_least(0))
    top_k: int = option(2, "int32", doc="number of best boxes that take part; unset: all")
    eta: float = option(3, "float", 1.0, doc="factor of the threshold after each box, while above 0.5")


@message()
class ResizeParameter(Message):
    """Resizing of images, and the way back for boxes."""

    class Resize_mode(IntEnum):  # noqa: N801
        """Stretch; keep the ratio and cover; keep the ratio and pad."""

        WARP = 1
        FIT_SMALL_SIZE = 2
        FIT_LARGE_SIZE_AND_PAD = 3

    class Pad_mode(IntEnum):  # noqa: N801
        """What is beyond the border."""

        CONSTANT = 1
        MIRRORED = 2
        REPEAT_NEAREST = 3

    class Interp_mode(IntEnum):  # noqa: N801
        """Interpolation."""

        LINEAR = 1
        AREA = 2
        NEAREST = 3
        CUBIC = 4
        LANCZOS4 = 5

    prob: float = option(1, "float", 1.0, doc="probability of resizing", check=within(0, 1))
    resize_mode: Resize_mode = option(
        2, Resize_mode, Resize_mode.WARP, doc="WARP, FIT_SMALL_SIZE or FIT_LARGE_SIZE_AND_PAD"
    )
    height: int = option(3, "uint32", 0, doc="height after resizing")
    width: int = option(4, "uint32", 0, doc="width after resizing")
    height_scale: int = option(8, "uint32", 0, doc="FIT_SMALL_SIZE: height that boxes refer to")
    width_scale: int = option(9, "uint32", 0, doc="FIT_SMALL_SIZE: width that boxes refer to")
    pad_mode: Pad_mode = option(5, Pad_mode, Pad_mode.CONSTANT, doc="CONSTANT, MIRRORED or REPEAT_NEAREST")
    pad_value: tuple[float, ...] = option(6, "float", repeated=True, doc="values of constant padding, by channel")
    interp_mode: tuple[Interp_mode, ...] = option(
        7, Interp_mode, repeated=True, doc="interpolations, of which one is drawn for each image"
    )
