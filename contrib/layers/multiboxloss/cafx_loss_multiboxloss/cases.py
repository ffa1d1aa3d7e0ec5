"""Conformance cases of MultiBoxLoss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cafx.conformance import Case

PRIORS, CLASSES = 8, 3
SCALED = {"gradient-bottoms": "SSD's gradient of offsets is not divided by the variance, which the golden cases hold"}


def cases() -> Iterable[Case]:
    """Losses, codes, matching, mining, normalisations and boxes per class."""
    from cafx.conformance import Case, distinct, uniform

    location, scores = uniform((2, PRIORS * 4), -0.8, 0.8), distinct((2, PRIORS * CLASSES), 0.05)
    inputs = (location, scores, priors(), truth())
    mined = {"num_classes": CLASSES, "nms_param": {"nms_threshold": 0.7, "top_k": 5, "eta": 1}}
    hard = {"mining_type": "HARD_EXAMPLE", "sample_size": 3}
    yield from (
        Case(name, *inputs, options={"num_classes": CLASSES, **options})
        for name, options in {
            "plain": {},
            "centre": {"code_type": "CENTER_SIZE", "loc_weight": 2.5, "neg_pos_ratio": 1.5, "neg_overlap": 0.6},
            "squares": {"loc_loss_type": "L2", "code_type": "CORNER_SIZE", "match_type": "BIPARTITE"},
            "logistic": {"conf_loss_type": "LOGISTIC", "background_label_id": 0, "overlap_threshold": 0.3},
            "logistic_all": {"conf_loss_type": "LOGISTIC", "mining_type": "NONE"},
            "all_priors": {"mining_type": "NONE", "do_neg_mining": False, "bp_inside": True},
            "hard": {**hard, "ignore_cross_boundary_bbox": True},
            "suppressed": {**mined, "use_prior_for_nms": True},
            "hard_suppressed": {**hard, **mined, "use_difficult_gt": False},
            "agnostic": {"map_object_to_agnostic": True},
            "decoded": {"use_prior_for_matching": False, "bp_inside": True, "code_type": "CENTER_SIZE"},
        }.items()
    )
    variance = {"num_classes": CLASSES, "encode_variance_in_target": True}
    yield Case("variance", *inputs, options=variance, skip=SCALED)
    for mode in ("FULL", "BATCH_SIZE", "NONE"):
        loss = {"loss_param": {"normalization": mode}, "loss_weight": [0.5]}
        yield Case(mode.lower(), *inputs, options={"num_classes": CLASSES}, layer=loss)
    separate = {"num_classes": CLASSES, "share_location": False, "mining_type": "NONE"}
    boxes = uniform((2, PRIORS * CLASSES * 4), -0.1, 0.1)
    yield Case("separate", boxes, *inputs[1:], options=separate)
    half = {"propagate_down": [True, False, False, False]}
    yield Case("offsets", *inputs, options={"num_classes": CLASSES}, layer=half)
    yield Case("nothing", *inputs[:3], truth(image=-1), options={"num_classes": CLASSES})


def priors() -> Any:
    """Priors that overlap, with their variances; the last ones leave the image."""
    from cafx.conformance import values

    left = np.linspace(0, 0.8, PRIORS)
    boxes = np.stack([left, left / 2, left + 0.3, left / 2 + 0.4], axis=1)
    return values(np.stack([boxes.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)])[None])


def truth(image: int = 1) -> Any:
    """Two objects in the first image, of which one is difficult, and one in the last, unless ``image`` is −1."""
    from cafx.conformance import values

    first = 0 if image >= 0 else -1
    rows = [[first, 1, 0, 0.05, 0.02, 0.3, 0.45, 0], [first, 2, 0, 0.3, 0.15, 0.7, 0.5, 1]]
    rows += [[-1] * 8, [image, 2, 0, 0.45, 0.3, 0.85, 0.7, 0]]
    return values([[rows]])
