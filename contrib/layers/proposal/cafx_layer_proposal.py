"""Proposal: regions proposed by a region proposal network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, Phase, above, message, option, within
from cafx.kernel.blob import shape_text
from cafx_lib_rcnn import Constant
from cafx_lib_rpn import RATIOS, SCALES, ProposalRule, anchors_of, base_anchors, proposals

if TYPE_CHECKING:
    from cafx.conformance import Case

LEAST_SCORE = 0.3
"""Score that a box needs in the form of Lenovo and Synopsys."""
THREE = 3
LARGEST = 32.0


@message("proposal_param")
class ProposalParameter(Message):
    """Options of Proposal, of two forks: pvanet's, then those of Lenovo and Synopsys, whose fields begin at 100000.

    The forks use numbers 2 to 5 for different fields, so no field has them here.
    """

    feat_stride: int = option(1, "uint32", 16, doc="pixels of the network's input per cell", check=above(0))
    base_size: int = option(None, "uint32", 16, doc="side of the square that anchors are made of", check=above(0))
    min_size: int = option(None, "uint32", 16, doc="least width and height, in pixels of the unscaled image")
    ratio: tuple[float, ...] = option(
        None, "float", repeated=True, doc="heights by widths of anchors; 0.5, 1, 2 if none is given", check=above(0)
    )
    scale: tuple[float, ...] = option(
        None, "float", repeated=True, doc="factors of base_size; 8, 16 and 32 if none is given", check=above(0)
    )
    pre_nms_topn: int = option(6, "uint32", 6000, doc="boxes that take part in suppression; 0 for all")
    post_nms_topn: int = option(7, "uint32", 300, doc="largest number of regions of an image; 0 for no limit")
    nms_thresh: float = option(8, "float", 0.7, doc="overlap above which a box is suppressed", check=within(0, 1))
    train_pre_nms_topn: int = option(None, "uint32", doc="pre_nms_topn in TRAIN phase, if it differs")
    train_post_nms_topn: int = option(None, "uint32", doc="post_nms_topn in TRAIN phase, if it differs")
    anchor_base_size: int = option(None, "int32", 16, doc="base_size, in the second form", check=above(0))
    anchor_scale: int = option(None, "int32", THREE, doc="3: scales 8, 16 and 32; else 32 alone; in the second form")
    anchor_ratio: int = option(None, "int32", THREE, doc="3: ratios 0.5, 1 and 2; else 1 alone; in the second form")
    max_rois: int = option(None, "int32", 300, doc="post_nms_topn, in the second form", check=above(0))


class Proposal(Constant):
    """Regions: y = the boxes of highest score, decoded from anchors, that do not overlap a better one too much.

    Bottoms: probabilities N×2A×H×W, of background, then of an object, for each of A anchors; offsets N×4A×H×W
    with (dx, dy, dw, dh) for each anchor; N×3 (or one row for all) with height, width and scale of the image,
    optionally a fourth value, its scale along x. Tops: regions R×5, rows (image, x1, y1, x2, y2) in pixels of
    the network's input, best first for each image; optionally their scores R×1. R is known after forward.
    A box is c ± s/2 with c = d s_a + c_a and s = s_a exp(d), clipped to the image; it is dropped if it is
    smaller than ``min_size`` times the scale; of the ``pre_nms_topn`` best, those that overlap a better one by
    more than ``nms_thresh`` are suppressed; ``post_nms_topn`` remain. The gradients of the bottoms are 0.
    Any of anchor_base_size, anchor_scale, anchor_ratio and max_rois selects the form of Lenovo and Synopsys:
    boxes of any size with a score of at least 0.3.

    Raises:
        CafxError: the shapes do not fit the number of anchors.

    Source: Ren et al., "Faster R-CNN", NIPS 2015; layer ``rpn.proposal_layer`` of rbgirshick/py-faster-rcnn.
    """

    Parameter = ProposalParameter
    options: ProposalParameter
    bottoms = 3
    tops = (1, 2)
    dynamic_shape = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the anchors of a cell and the rule that chooses boxes; the tops have one row at first."""
        options = self.options
        self.second_form = any(map(options.has, ("anchor_base_size", "anchor_scale", "anchor_ratio", "max_rois")))
        if self.second_form:
            scales = SCALES if options.anchor_scale == THREE else (LARGEST,)
            ratios = RATIOS if options.anchor_ratio == THREE else (1.0,)
            self.base = base_anchors(options.anchor_base_size, ratios, scales)
            self.rule = ProposalRule(0, options.max_rois, options.nms_thresh, 0)
        else:
            self.base = base_anchors(options.base_size, options.ratio or RATIOS, options.scale or SCALES)
            before, after = options.pre_nms_topn, options.post_nms_topn
            if self.phase == Phase.TRAIN:
                before = options.train_pre_nms_topn if options.has("train_pre_nms_topn") else before
                after = options.train_post_nms_topn if options.has("train_post_nms_topn") else after
            self.rule = ProposalRule(before, after, options.nms_thresh, options.min_size)
        for blob, width in zip(top, (5, 1), strict=False):
            blob.reshape(1, width)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check shapes; those of the tops are known after forward."""
        count, shape = len(self.base), bottom[0].shape
        if len(shape) != 4 or shape[1] != 2 * count:
            found, expected = shape_text(shape), f"N×{2 * count}×H×W"
            raise self.error(f"wrong shape of the scores of {count} anchors", found=found, expected=expected)
        self.require_shape(bottom[1], (shape[0], 4 * count, *shape[2:]), "the offsets")
        info = bottom[2].shape
        if len(info) != 2 or info[0] not in (1, shape[0]) or info[1] < 3:
            raise self.error("wrong shape of the image sizes", found=shape_text(info), expected=f"{shape[0]}×3")
        self.anchors = anchors_of(self.base, self.options.feat_stride, *shape[2:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Choose the regions of each image."""
        scores, offsets, infos = (blob.host() for blob in bottom)
        least = LEAST_SCORE if self.second_form else None
        found = []
        for index in range(len(scores)):
            info = infos[index % len(infos)]
            boxes, values = proposals(scores[index], offsets[index], self.anchors, info, self.rule, least)
            found.append(np.column_stack([np.full(len(boxes), index), boxes, values]))
        rows = np.concatenate([np.empty((0, 6)), *found])
        for blob, columns in zip(top, (slice(0, 5), slice(5, 6)), strict=False):
            blob.reshape(len(rows), columns.stop - columns.start)
            blob.set_data(rows[:, columns])

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and two images, every option, both phases, all boxes suppressed."""
        from cafx.conformance import Case, normal, uniform, values

        def bottoms(images: int, anchors: int, height: int, width: int, info: list[list[float]]) -> tuple[Any, ...]:
            scores = uniform((images, 2 * anchors, height, width), 0, 1)
            return scores, normal((images, 4 * anchors, height, width), 0.2), values(info)

        yield Case("default", *bottoms(1, 9, 4, 5, [[64, 80, 1.0]]))
        anchors = {"base_size": 8, "ratio": [0.5, 1.5], "scale": [1, 3], "feat_stride": 8}
        few = {"pre_nms_topn": 40, "post_nms_topn": 7, "nms_thresh": 0.5, "min_size": 2}
        both = [[40.0, 48.0, 1.5, 2.0], [30.0, 50.0, 1.0, 1.0]]
        yield Case("images", *bottoms(2, 4, 5, 6, both), options={**anchors, **few}, tops=2)
        train = {"train_pre_nms_topn": 30, "train_post_nms_topn": 3, "post_nms_topn": 0, "pre_nms_topn": 0}
        yield Case("train", *bottoms(1, 4, 3, 3, [[24, 24, 1.0]]), options={**anchors, **train}, tops=2)
        second = {"anchor_base_size": 8, "anchor_scale": 1, "anchor_ratio": 1, "max_rois": 5}
        yield Case("second_form", *bottoms(1, 1, 4, 4, [[64, 64, 1.0]]), options=second, phase=Phase.TEST)
        none = {**anchors, "min_size": 1000}
        yield Case("none", *bottoms(1, 4, 2, 2, [[16, 16, 1.0]]), options=none, tops=2)
