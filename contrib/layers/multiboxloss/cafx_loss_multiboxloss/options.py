"""Options of MultiBoxLoss."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import Message, message, option
from cafx_lib_ssd import CodeType, NonMaximumSuppressionParameter


@message("multibox_loss_param", 201)
class MultiBoxLossParameter(Message):
    """Options of MultiBoxLoss."""

    class LocLossType(IntEnum):
        """Loss of box offsets."""

        L2 = 0
        SMOOTH_L1 = 1

    class ConfLossType(IntEnum):
        """Loss of class scores."""

        SOFTMAX = 0
        LOGISTIC = 1

    class MatchType(IntEnum):
        """Which priors are matched with ground truth."""

        BIPARTITE = 0
        PER_PREDICTION = 1

    class MiningType(IntEnum):
        """Which priors count."""

        NONE = 0
        MAX_NEGATIVE = 1
        HARD_EXAMPLE = 2

    loc_loss_type: LocLossType = option(1, LocLossType, LocLossType.SMOOTH_L1, doc="L2 or SMOOTH_L1")
    conf_loss_type: ConfLossType = option(2, ConfLossType, ConfLossType.SOFTMAX, doc="SOFTMAX or LOGISTIC")
    loc_weight: float = option(3, "float", 1.0, doc="weight of the loss of box offsets")
    num_classes: int = option(4, "uint32", doc="number of classes, background included")
    share_location: bool = option(5, "bool", True, doc="whether all classes share the box predictions")
    match_type: MatchType = option(
        6,
        MatchType,
        MatchType.PER_PREDICTION,
        doc="BIPARTITE: each object matches one prior; PER_PREDICTION: also all that overlap it enough",
    )
    overlap_threshold: float = option(7, "float", 0.5, doc="smallest overlap of PER_PREDICTION")
    use_prior_for_matching: bool = option(8, "bool", True, doc="whether priors are matched, or else the decoded boxes")
    background_label_id: int = option(9, "uint32", 0, doc="class that is no object")
    use_difficult_gt: bool = option(10, "bool", True, doc="whether difficult objects count")
    do_neg_mining: bool = option(11, "bool", doc="deprecated: false stands for mining_type NONE")
    neg_pos_ratio: float = option(12, "float", 3.0, doc="MAX_NEGATIVE: number of negatives per match")
    neg_overlap: float = option(13, "float", 0.5, doc="MAX_NEGATIVE: negatives overlap objects less than this")
    code_type: CodeType = option(14, CodeType, CodeType.CORNER, doc="CORNER, CENTER_SIZE or CORNER_SIZE")
    encode_variance_in_target: bool = option(
        16, "bool", False, doc="whether offsets are coded without variances and divided by them in the loss"
    )
    map_object_to_agnostic: bool = option(17, "bool", False, doc="whether all objects are of one class")
    ignore_cross_boundary_bbox: bool = option(18, "bool", False, doc="whether boxes that leave the image do not count")
    bp_inside: bool = option(19, "bool", False, doc="whether coordinates outside the image have no loss")
    mining_type: MiningType = option(
        20,
        MiningType,
        MiningType.MAX_NEGATIVE,
        doc="NONE: all priors count; MAX_NEGATIVE: matches and the worst negatives; HARD_EXAMPLE: the worst",
    )
    nms_param: NonMaximumSuppressionParameter = option(
        21, NonMaximumSuppressionParameter, doc="suppression among candidates of mining by their loss; unset: none"
    )
    sample_size: int = option(22, "int32", 64, doc="HARD_EXAMPLE: number of priors per image")
    use_prior_for_nms: bool = option(23, "bool", False, doc="whether nms_param compares priors, or else decoded boxes")
