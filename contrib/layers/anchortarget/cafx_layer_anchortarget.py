"""AnchorTarget: labels and box targets of anchors, for training a region proposal network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, above, message, option, within
from cafx.kernel.blob import shape_text
from cafx_lib_rcnn import Constant
from cafx_lib_rpn import BOX_WEIGHTS, RATIOS, SCALES, AnchorRule, anchors_of, base_anchors, by_channel, invalid_objects

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("anchor_target_param")
class AnchorTargetParameter(Message):
    """Options of AnchorTarget; the defaults are those of py-faster-rcnn."""

    feat_stride: int = option(1, "uint32", 16, doc="pixels of the network's input per cell", check=above(0))
    base_size: int = option(2, "uint32", 16, doc="side of the square that anchors are made of", check=above(0))
    ratio: tuple[float, ...] = option(
        3, "float", repeated=True, doc="heights by widths of anchors; 0.5, 1, 2 if none is given", check=above(0)
    )
    scale: tuple[float, ...] = option(
        4, "float", repeated=True, doc="factors of base_size; 8, 16 and 32 if none is given", check=above(0)
    )
    allowed_border: float = option(5, "float", 0.0, doc="pixels by which an anchor may reach out of the image")
    positive_overlap: float = option(6, "float", 0.7, doc="least overlap of an object", check=within(0, 1))
    negative_overlap: float = option(7, "float", 0.3, doc="overlap below which it is background", check=within(0, 1))
    clobber_positives: bool = option(8, "bool", False, doc="the best anchors of a box may be background")
    batch_size: int = option(9, "uint32", 256, doc="number of examples", check=above(0))
    fg_fraction: float = option(10, "float", 0.5, doc="largest fraction of objects", check=within(0, 1))
    inside_weight: tuple[float, ...] = option(
        11, "float", repeated=True, doc="weights of the offsets of objects: none (1), or four"
    )
    positive_weight: float = option(
        12, "float", -1.0, doc="weight of all objects, of 1; negative: all examples weigh the same"
    )


class AnchorTarget(Constant):
    """Targets of anchors: t = ((c_b − c_a) / s_a, log(s_b / s_a)) for the box b that anchor a overlaps most.

    Bottoms: scores 1×2A×H×W, of which only the shape matters; objects G×5, rows (x1, y1, x2, y2, class); image
    1×3: height, width, scale; optionally the image itself, which is ignored.
    Tops: labels 1×1×A·H×W, 1 for an object, 0 for background, −1 for anchors that do not count; offsets t,
    inside weights (1 for objects) and outside weights (1 / number of examples), 1×4A×H×W each.
    Anchors inside the image are objects if their overlap with a box is at least ``positive_overlap``, or is
    the largest one of a box; background if it is below ``negative_overlap`` with all. ``batch_size`` of them
    are drawn, with at most ``fg_fraction`` objects. The gradients of the bottoms are 0.

    Raises:
        CafxError: there is more than one image, a shape or box is not valid, or ``inside_weight`` is not empty or four
            values.

    Source: Ren et al., "Faster R-CNN", NIPS 2015; layer ``rpn.anchor_target_layer`` of rbgirshick/py-faster-rcnn.
    """

    Parameter = AnchorTargetParameter
    options: AnchorTargetParameter
    bottoms = (3, 4)
    tops = 4
    deterministic = False
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the anchors of a cell and the rule that labels them."""
        options = self.options
        if len(options.inside_weight) not in (0, 4):
            raise self.error("inside_weight needs four values", found=len(options.inside_weight), expected="0 or 4")
        if options.positive_weight >= 1:
            raise self.error("positive_weight is not valid", found=options.positive_weight, expected="less than 1")
        self.base = base_anchors(options.base_size, options.ratio or RATIOS, options.scale or SCALES)
        self.rule = AnchorRule(
            border=options.allowed_border,
            positive=options.positive_overlap,
            negative=options.negative_overlap,
            negatives_win=options.clobber_positives,
            examples=options.batch_size,
            fraction=options.fg_fraction,
            inside_weights=options.inside_weight or BOX_WEIGHTS,
            positive_weight=options.positive_weight,
        )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops have a value, or four, per anchor."""
        shape, count = bottom[0].shape, len(self.base)
        if len(shape) != 4 or shape[0] != 1:
            raise self.error("takes the scores of one image", found=shape_text(shape), expected="1×2A×H×W")
        if shape[1] != 2 * count:
            raise self.error(f"{count} anchors have two scores each", found=shape[1], expected=2 * count)
        if len(bottom[1].shape) != 2 or bottom[1].shape[1] != 5:
            raise self.error("an object has five values", found=shape_text(bottom[1].shape), expected="G×5")
        if bottom[2].count() < 2:
            raise self.error("the image's height and width are missing", found=shape_text(bottom[2].shape))
        self.size = shape[2:]
        self.anchors = anchors_of(self.base, self.options.feat_stride, *self.size)
        top[0].reshape(1, 1, count * shape[2], shape[3])
        for blob in top[1:]:
            blob.reshape(1, 4 * count, *self.size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Label the anchors and compute their targets."""
        objects, info = bottom[1].host(), bottom[2].host().reshape(-1)
        wrong = invalid_objects(objects[:, :4])
        if wrong:
            raise self.error("the box of an object is not valid", **wrong)
        for blob, rows in zip(top, self.rule.targets(self.anchors, objects[:, :4], info, self.rng), strict=True):
            blob.set_data(by_channel(rows, *self.size).reshape(blob.shape))

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every option; none, one and several objects; more and fewer examples than anchors."""
        from cafx.conformance import Case, values

        objects = values([[10, 12, 60, 50, 1], [30, 5, 70, 70, 2]])
        small = {"feat_stride": 8, "base_size": 8, "ratio": [0.5, 1.0], "scale": [2.0, 4.0]}
        yield Case("default", (1, 18, 6, 6), values([[10, 12, 60, 50, 1]]), values([[96, 96, 1]]), tops=4)
        image = (values([[75, 80, 1.5]]), (1, 3, 15, 16))
        limits = {"positive_overlap": 0.5, "negative_overlap": 0.2, "allowed_border": 4.0}
        yield Case("image", (1, 8, 9, 10), objects, *image, options={**small, **limits}, tops=4)
        drawn = {"batch_size": 8, "fg_fraction": 0.25, "clobber_positives": True}
        weights = {"inside_weight": [1.0, 2.0, 3.0, 4.0], "positive_weight": 0.75}
        few = {**small, **limits, **drawn, **weights}
        yield Case("drawn", (1, 8, 9, 10), objects, values([[75, 80, 1.5]]), options=few, tops=4)
        yield Case("no_objects", (1, 8, 4, 4), (0, 5), values([[32, 32, 1]]), options=small, tops=4)
