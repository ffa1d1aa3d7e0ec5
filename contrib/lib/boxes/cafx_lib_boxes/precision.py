"""Average precision of ranked detections."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

VERSIONS = ("11point", "MaxIntegral", "Integral")
LEVELS = 10


def average_precision(
    scores: npt.ArrayLike, true: npt.ArrayLike, false: npt.ArrayLike, count: int, version: str = "Integral"
) -> float:
    """The average precision of one class, from its detections in any order.

    With the detections in descending order of score, precision p = Σ true / Σ (true + false) and recall
    r = Σ true / ``count`` after each of them:

    - 11point: the mean over r₀ = 0, 0.1, …, 1 of the largest p with r ≥ r₀ (PASCAL VOC 2007);
    - MaxIntegral: the area under the largest p at each recall or a higher one (VOC 2012, ILSVRC);
    - Integral: the area under p, Σ p Δr.

    Args:
        scores: scores of the detections.
        true: 1 for a true positive, else 0.
        false: 1 for a false positive, else 0; a detection that is neither does not count.
        count: number of ground truth boxes.
        version: one of `VERSIONS`.

    Raises:
        CafxError: an unknown version.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010.

    Example:
        >>> average_precision([0.9, 0.8, 0.7], [1, 0, 1], [0, 1, 0], 2)
        0.8333333333333333
    """
    if version not in VERSIONS:
        raise CafxError(f"unknown version '{version}' of average precision", expected="one of " + ", ".join(VERSIONS))
    true, false = np.asarray(true, np.int64), np.asarray(false, np.int64)
    order = np.argsort(-np.asarray(scores), kind="stable")
    order = order[(true + false)[order] > 0]
    if not len(order) or count <= 0:
        return 0.0
    hits, misses = true[order].cumsum(), false[order].cumsum()
    precision = hits / (hits + misses)
    if version == "Integral":
        return float((precision * true[order]).sum() / count)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    if version == "MaxIntegral":
        return float((highest * true[order]).sum() / count)
    first = np.searchsorted(LEVELS * hits, np.arange(LEVELS + 1) * count)
    return float(np.append(highest, 0.0)[first].mean())
