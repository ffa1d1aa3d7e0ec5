"""Boxes as offsets from prior boxes (SSD) and from anchors (Faster R-CNN)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[Any]
CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")


NOT_FINITE = np.errstate(divide="ignore", invalid="ignore", over="ignore")
"""Boxes and priors without a size give offsets that are not finite."""


@NOT_FINITE
def encode(
    boxes: Boxes, priors: Boxes, variances: Boxes, code: str = "CORNER", *, variance_in_target: bool = False
) -> Boxes:
    """Offsets t of boxes from their priors p with centre c and size s, divided by the variances v:

    - CORNER: t = (b − p) / v, for each of the four coordinates;
    - CENTER_SIZE: t = ((c_b − c_p) / s_p / v, log(s_b / s_p) / v), first x and y, then width and height;
    - CORNER_SIZE: t = (b − p) / s_p / v.

    Args:
        boxes: shape (…, 4).
        priors: shape (…, 4), broadcast against the boxes.
        variances: v, of the priors' shape.
        code: one of `CODES`.
        variance_in_target: whether t keeps the variance, that is, v = 1 in the formula.
    """
    if code == "CORNER":
        offsets = boxes - priors
    elif code == "CORNER_SIZE":
        offsets = (boxes - priors) / _twice(_size(priors))
    else:
        size = _size(priors)
        offsets = np.concatenate([(_centre(boxes) - _centre(priors)) / size, np.log(_size(boxes) / size)], axis=-1)
    return offsets if variance_in_target else offsets / variances


@NOT_FINITE
def decode(
    offsets: Boxes, priors: Boxes, variances: Boxes, code: str = "CORNER", *, variance_in_target: bool = False
) -> Boxes:
    """Boxes from offsets: the inverse of `encode`; they are not clipped.

    Args:
        offsets: t, of shape (…, 4).
        priors: shape (…, 4), broadcast against the offsets.
        variances: v, of the priors' shape.
        code: one of `CODES`.
        variance_in_target: whether t contains the variance.
    """
    scaled = offsets if variance_in_target else offsets * variances
    if code == "CORNER":
        return priors + scaled
    if code == "CORNER_SIZE":
        return priors + scaled * _twice(_size(priors))
    size = _size(priors)
    centre = scaled[..., :2] * size + _centre(priors)
    with np.errstate(over="ignore"):
        half = np.exp(scaled[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def encode_pixels(boxes: Boxes, anchors: Boxes) -> Boxes:
    """Offsets (dx, dy, dw, dh) = ((c_b − c_a) / s_a, log(s_b / s_a)) of boxes of whole pixels, s = max − min + 1.

    Args:
        boxes: shape (…, 4).
        anchors: shape (…, 4), broadcast against the boxes.

    Source: Girshick et al., "Rich feature hierarchies", 2014; Ren et al., "Faster R-CNN", 2015.
    """
    size, anchor_size = _size(boxes) + 1, _size(anchors) + 1
    centre, anchor_centre = boxes[..., :2] + size / 2, anchors[..., :2] + anchor_size / 2
    return np.concatenate([(centre - anchor_centre) / anchor_size, np.log(size / anchor_size)], axis=-1)


def decode_pixels(offsets: Boxes, anchors: Boxes) -> Boxes:
    """Boxes from offsets (dx, dy, dw, dh) and anchors: (c − s/2, c + s/2) with c = d s_a + c_a, s = s_a exp(d).

    This is Faster R-CNN's formula, whose boxes are one pixel larger than those that `encode_pixels` was given.

    Args:
        offsets: shape (…, 4).
        anchors: shape (…, 4), broadcast against the offsets.
    """
    anchor_size = _size(anchors) + 1
    centre = offsets[..., :2] * anchor_size + (anchors[..., :2] + anchor_size / 2)
    with np.errstate(over="ignore"):
        half = np.exp(offsets[..., 2:]) * anchor_size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _size(boxes: Boxes) -> Boxes:
    return boxes[..., 2:] - boxes[..., :2]


def _centre(boxes: Boxes) -> Boxes:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _twice(size: Boxes) -> Boxes:
    return np.concatenate([size, size], axis=-1)
