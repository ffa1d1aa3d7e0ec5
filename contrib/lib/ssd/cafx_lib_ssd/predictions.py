"""Checks of the bottoms that hold priors and predictions for them."""

from __future__ import annotations

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text


def count_priors(layer: Layer, location: Blob, scores: Blob, priors: Blob, classes: int, sets: int) -> int:
    """The number of priors, P.

    Args:
        layer: the layer that errors name.
        location: predicted offsets, N×(P·sets·4).
        scores: N×(P·classes).
        priors: boxes and variances, 1×2×(P·4).
        classes: number of classes.
        sets: number of boxes per prior: 1, or one per class.

    Raises:
        CafxError: the shapes do not fit together.
    """
    if priors.num_axes < 3 or priors.shape[:2] != (1, 2) or priors.count(2) % 4:
        found = shape_text(priors.shape)
        raise layer.error(f"bottom '{priors.name}' has no priors", found=found, expected="1×2×(P·4)")
    count = priors.count(2) // 4
    for blob, size in ((location, count * sets * 4), (scores, count * classes)):
        if not blob.shape or blob.shape[:1] != scores.shape[:1] or blob.count(1) != size:
            expected = f"{scores.shape[0] if scores.shape else 'N'}×{size} for {count} priors"
            raise layer.error(f"bottom '{blob.name}' does not fit", found=shape_text(blob.shape), expected=expected)
    return count
