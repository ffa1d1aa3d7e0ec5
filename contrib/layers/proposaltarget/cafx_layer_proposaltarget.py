"""ProposalTarget: regions sampled for training, with labels and box targets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cafx.kernel import Blob, Message, above, at_least, message, option, within
from cafx.kernel.blob import shape_text
from cafx_lib_rcnn import Constant
from cafx_lib_rpn import BOX_WEIGHTS, RegionRule, invalid_objects

if TYPE_CHECKING:
    from cafx.conformance import Case

STATISTICS = {"inside_weight": BOX_WEIGHTS, "bbox_mean": (0.0,) * 4, "bbox_std": (0.1, 0.1, 0.2, 0.2)}
"""Default of the options with one value per offset."""


@message("proposal_target_param")
class ProposalTargetParameter(Message):
    """Options of ProposalTarget; the defaults are those of py-faster-rcnn."""

    num_classes: int = option(
        1, "uint32", doc="number of classes with the background; 2: objects of all classes share their targets"
    )
    batch_size: int = option(2, "int32", 128, doc="number of regions; -1 for all that qualify", check=at_least(-1))
    fg_fraction: float = option(3, "float", 0.25, doc="largest fraction of objects", check=within(0, 1))
    fg_thresh: float = option(4, "float", 0.5, doc="least overlap of an object", check=within(0, 1))
    bg_thresh_hi: float = option(5, "float", 0.5, doc="overlap below which a region is background")
    bg_thresh_lo: float = option(6, "float", 0.1, doc="least overlap of background")
    inside_weight: tuple[float, ...] = option(
        7, "float", repeated=True, doc="weights of the offsets of objects: none (1), or four"
    )
    normalize: bool = option(8, "bool", False, doc="subtract bbox_mean from the offsets and divide by bbox_std")
    bbox_mean: tuple[float, ...] = option(
        9, "float", repeated=True, doc="means of the offsets: none (0), or four; for normalize"
    )
    bbox_std: tuple[float, ...] = option(
        10,
        "float",
        repeated=True,
        doc="their standard deviations: none (0.1, 0.1, 0.2, 0.2), or four; for normalize",
        check=above(0),
    )
    four_axes: bool = option(11, "bool", False, doc="the tops end in two axes of length 1, as R-FCN needs")


class ProposalTarget(Constant):
    """Regions for training: of R proposals and G objects, S are drawn: y = proposals[drawn], with their targets.

    Bottoms: proposals R×5 (or R×5×1×1) with rows (0, x1, y1, x2, y2); objects G×5, rows (x1, y1, x2, y2, class).
    Tops: regions S×5; labels S, the class of the box that a region overlaps most, 0 for background; offsets
    S×4K from the region to this box in the four columns of its class (see AnchorTarget for the formula), 0
    elsewhere; inside weights S×4K, not 0 in these columns; outside weights S×4K, 1 there. With ``four_axes``,
    two axes of length 1 follow. S is known after forward, and at most ``batch_size``.
    Regions whose largest overlap is at least ``fg_thresh`` are objects, of which at most ``fg_fraction`` times
    ``batch_size`` are drawn; from ``bg_thresh_lo`` to below ``bg_thresh_hi``, background.
    The gradients of the bottoms are 0.

    Raises:
        CafxError: ``num_classes`` is missing, a shape, class or box is not valid, or a proposal is not of image 0.

    Source: Girshick, "Fast R-CNN", ICCV 2015; layer ``rpn.proposal_target_layer`` of rbgirshick/py-faster-rcnn,
    and of R-FCN.
    """

    Parameter = ProposalTargetParameter
    options: ProposalTargetParameter
    bottoms = 2
    tops = 5
    deterministic = False
    dynamic_shape = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the rule that draws regions; the tops have one row at first."""
        options = self.options
        if not options.has("num_classes") or options.num_classes < 2:
            expected = "proposal_target_param { num_classes: 2, or more }"
            raise self.error("num_classes is missing", found=options.num_classes, expected=expected)
        four = {field: getattr(options, field) or default for field, default in STATISTICS.items()}
        for field, values in four.items():
            if len(values) != 4:
                raise self.error(f"{field} needs four values", found=len(values), expected="0 or 4")
        self.rule = RegionRule(
            classes=options.num_classes,
            examples=options.batch_size,
            fraction=options.fg_fraction,
            foreground=options.fg_thresh,
            background=(options.bg_thresh_lo, options.bg_thresh_hi),
            inside_weights=four["inside_weight"],
            **({"means": four["bbox_mean"], "deviations": four["bbox_std"]} if options.normalize else {}),
        )
        width = 4 * options.num_classes
        for blob, shape in zip(top, ((1, 5), (1,), (1, width), (1, width), (1, width)), strict=True):
            blob.reshape(*self._padded(shape))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check shapes; those of the tops are known after forward."""
        regions, objects = (blob.shape for blob in bottom)
        if regions[1:2] != (5,) or any(length != 1 for length in regions[2:]):
            raise self.error("a proposal has five values", found=shape_text(regions), expected="R×5")
        if len(objects) != 2 or objects[1] != 5:
            raise self.error("an object has five values", found=shape_text(objects), expected="G×5")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw regions and compute their targets."""
        proposed, objects = bottom[0].host().reshape(-1, 5), bottom[1].host()
        if proposed[:, 0].any():
            raise self.error("takes the proposals of one image", found="other images", expected="image 0")
        boxes, classes = objects[:, :4], objects[:, 4]
        wrong = invalid_objects(boxes)
        if wrong:
            raise self.error("the box of an object is not valid", **wrong)
        highest = math.inf if self.options.num_classes == 2 else self.options.num_classes - 1
        if not ((classes >= 1) & (classes <= highest)).all():
            found = f"{classes.min():g} to {classes.max():g}"
            raise self.error("the class of an object is not valid", found=found, expected=f"1 to {highest:g}")
        regions = np.concatenate([proposed[:, 1:], boxes])
        drawn, labels, targets, weights = self.rule.targets(regions, boxes, classes, self.rng)
        rows = np.concatenate([np.zeros((len(drawn), 1)), drawn], axis=1)
        for blob, values in zip(top, (rows, labels, targets, weights, weights > 0), strict=True):
            blob.reshape(*self._padded(values.shape))
            blob.set_data(values.reshape(blob.shape))

    def _padded(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape, with axes of length 1 up to the fourth if they are asked for."""
        return shape + (1,) * (4 - len(shape)) if self.options.four_axes else shape

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every option; none, one and several objects; more and fewer regions than are drawn."""
        from cafx.conformance import Case, values

        proposed = [[0, 10, 10, 40, 40], [0, 12, 8, 42, 36], [0, 0, 0, 20, 20], [0, 50, 50, 90, 80], [0, 30, 5, 60, 35]]
        objects = [[11, 9, 41, 38, 2], [48, 52, 88, 84, 1]]
        yield Case("default", values(proposed), values(objects), options={"num_classes": 3}, tops=5)
        drawn = {"num_classes": 3, "batch_size": 4, "fg_fraction": 0.5, "fg_thresh": 0.6, "bg_thresh_hi": 0.4}
        scaled = {"bg_thresh_lo": 0.0, "normalize": True, "bbox_mean": [0.0, 0.1, 0.0, -0.1], "bbox_std": [0.5] * 4}
        weights = {"inside_weight": [1.0, 2.0, 3.0, 4.0]}
        yield Case("drawn", values(proposed), values(objects), options={**drawn, **scaled, **weights}, tops=5)
        every = {"num_classes": 2, "batch_size": -1, "four_axes": True, "bg_thresh_lo": 0.0}
        column = values(np.reshape(proposed, (5, 5, 1, 1)))
        yield Case("all", column, values([[11, 9, 41, 38, 7]]), options=every, tops=5)
        yield Case("no_objects", values(proposed), (0, 5), options={"num_classes": 4, "bg_thresh_lo": 0.0}, tops=5)
