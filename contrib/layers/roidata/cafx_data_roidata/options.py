"""Options of RoIData."""

from __future__ import annotations

from cafx.kernel import CafxError, Message, above, message, option, within

MOST_CLASSES = 1 << 20
LISTS = {
    "scale": ((600,), None),
    "pixel_mean": ((102.9801, 115.9465, 122.7717), 3),
    "inside_weight": ((1.0,) * 4, 4),
    "bbox_mean": ((0.0,) * 4, 4),
    "bbox_std": ((0.1, 0.1, 0.2, 0.2), 4),
}
"""Default and length of repeated options."""


@message("roi_data_param")
class RoIDataParameter(Message):
    """Options of RoIData; the defaults are those of py-faster-rcnn."""

    num_classes: int = option(1, "uint32", doc="number of classes with the background", check=within(2, MOST_CLASSES))
    source: str = option(2, "string", "", doc="window file, or database of AnnotatedDatums; none: see set_roidb")
    root_folder: str = option(3, "string", "", doc="prefix of every path in a window file")
    has_rpn: bool = option(4, "bool", False, doc="the tops are data, im_info and gt_boxes")
    ims_per_batch: int = option(5, "uint32", 2, doc="images of a batch; 1 with has_rpn", check=above(0))
    batch_size: int = option(6, "uint32", 128, doc="regions of a batch", check=above(0))
    fg_fraction: float = option(7, "float", 0.25, doc="largest fraction of objects", check=within(0, 1))
    fg_thresh: float = option(8, "float", 0.5, doc="least overlap of an object", check=within(0, 1))
    bg_thresh_hi: float = option(9, "float", 0.5, doc="overlap below which a region is background")
    bg_thresh_lo: float = option(10, "float", 0.1, doc="least overlap of background")
    bbox_thresh: float = option(11, "float", 0.5, doc="least overlap of a region that has offsets", check=within(0, 1))
    scale: tuple[int, ...] = option(
        12, "uint32", repeated=True, doc="lengths of the short side; 600 if none is given", check=above(0)
    )
    max_size: int = option(13, "uint32", 1000, doc="largest length of the long side; 0 for no limit")
    use_flipped: bool = option(14, "bool", True, doc="use each image of the source flipped, too")
    pixel_mean: tuple[float, ...] = option(
        15, "float", repeated=True, doc="subtracted: blue, green, red; 102.9801, 115.9465, 122.7717 if none is given"
    )
    aspect_grouping: bool = option(16, "bool", True, doc="batches of images that are all wide or all high")
    normalize: bool = option(17, "bool", True, doc="normalise the offsets")
    precomputed: bool = option(18, "bool", False, doc="normalise by bbox_mean and bbox_std, not by the data's own")
    bbox_mean: tuple[float, ...] = option(19, "float", repeated=True, doc="means of the offsets; 0 if none is given")
    bbox_std: tuple[float, ...] = option(
        20, "float", repeated=True, doc="their standard deviations; 0.1, 0.1, 0.2, 0.2 if none is given", check=above(0)
    )
    inside_weight: tuple[float, ...] = option(
        21, "float", repeated=True, doc="weights of the offsets of objects: none (1), or four"
    )
    use_difficult: bool = option(22, "bool", False, doc="use objects marked as difficult")


def completed(options: RoIDataParameter, tops: int) -> RoIDataParameter:
    """The options with the defaults of lists; it changes and returns ``options``.

    Args:
        options: the options.
        tops: number of tops of the layer.

    Raises:
        CafxError: they contradict each other, or do not fit the number of tops.
    """
    if not options.has("num_classes"):
        raise CafxError("num_classes is missing", expected="roi_data_param { num_classes: 21 }")
    allowed = (3,) if options.has_rpn else (3, 5, 6)
    if tops not in allowed:
        expected = " or ".join(map(str, allowed))
        raise CafxError(f"wrong number of tops for has_rpn: {options.has_rpn}", found=tops, expected=expected)
    if options.has_rpn and options.ims_per_batch != 1:
        raise CafxError("has_rpn takes one image at a time", found=options.ims_per_batch, expected="ims_per_batch: 1")
    if options.batch_size % options.ims_per_batch:
        expected = f"a multiple of ims_per_batch: {options.ims_per_batch}"
        raise CafxError("batch_size is not valid", found=options.batch_size, expected=expected)
    for field, (default, length) in LISTS.items():
        values = getattr(options, field) or default
        if length not in (None, len(values)):
            raise CafxError(f"wrong number of '{field}'", found=len(values), expected=f"0 or {length}")
        setattr(options, field, values)
    return options
