"""Boxes while their image is resized, cropped, padded and mirrored; coordinates are fractions of its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_lib_boxes import areas

Boxes = npt.NDArray[np.float32]
F = np.float32


def coverage(boxes: Boxes, others: Boxes) -> Boxes:
    """The fraction of each box that the other covers, 0 for a box without area; shapes …×4 broadcast."""
    low, high = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    common = areas(np.concatenate([low, high], axis=-1))
    whole = np.broadcast_to(areas(boxes), common.shape)
    covered: Boxes = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    return covered


def emitted(boxes: Boxes, window: Boxes, constraint: Any) -> npt.NDArray[np.bool_]:
    """Which boxes an emit_constraint keeps in a window: those with their centre, or enough of their area, in it."""
    if constraint.emit_type.name == "CENTER":
        centres = (boxes[:, :2] + boxes[:, 2:]) / F(2)
        inside: npt.NDArray[np.bool_] = ((centres >= window[:2]) & (centres <= window[2:])).all(axis=1)
        return inside
    enough: npt.NDArray[np.bool_] = coverage(boxes, window) > F(constraint.emit_overlap)
    return enough


def projected(boxes: Boxes, window: Boxes) -> tuple[Boxes, npt.NDArray[np.bool_]]:
    """Boxes relative to a window and clipped to it, and which of them have a part in it."""
    sides = window[2:] - window[:2]
    moved = (boxes.reshape(-1, 2, 2) - window[:2]) / sides
    inside = ((boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2])).all(axis=1)
    clipped = np.clip(moved, F(0), F(1)).reshape(-1, 4)
    return clipped, inside & (areas(clipped) > 0)


def mirrored(boxes: Boxes) -> Boxes:
    """Boxes of the horizontally flipped image."""
    flipped = boxes.copy()
    flipped[:, 0], flipped[:, 2] = F(1) - boxes[:, 2], F(1) - boxes[:, 0]
    return flipped


def resized(boxes: Boxes, options: Any, height: int, width: int) -> Boxes:
    """Boxes of an image of height×width after resizing, by the policy of a resize_param."""
    new = np.array([options.width, options.height], F)
    old = np.array([width, height], F)
    aspect, target = old[0] / old[1], new[0] / new[1]
    mode = options.resize_mode.name
    padding = np.zeros(2, F)
    if mode == "FIT_SMALL_SIZE":
        new = np.array([new[0], new[0] / aspect] if aspect < target else [aspect * new[1], new[1]], F)
    elif mode == "FIT_LARGE_SIZE_AND_PAD":
        padding[:] = (0, (new[1] - new[0] / aspect) / F(2)) if aspect > target else ((new[0] - aspect * new[1]) / 2, 0)
    pixels = boxes.reshape(-1, 2, 2) * old
    low = padding + np.maximum(F(0), pixels[:, 0] * (new - 2 * padding) / old)
    high = padding + np.minimum(new, pixels[:, 1] * (new - 2 * padding) / old)
    result: Boxes = np.concatenate([low / new, high / new], axis=1).astype(F)
    return result


def extrapolated(boxes: Boxes, options: Any, height: int, width: int, window: Boxes) -> Boxes:
    """Boxes of a window of the resized image in units of height_scale and width_scale, if these are set.

    Raises:
        ValueError: the window is smaller than that; its message says which side.
    """
    scales = np.array([options.width_scale, options.height_scale], F)
    if not scales.all():
        return boxes
    side = np.array([options.width, options.height], F)
    aspect, target = F(width) / F(height), side[0] / side[1]
    side = np.array([side[0], side[0] / aspect] if aspect < target else [side[1] * aspect, side[1]], F)
    crop = side * (window[2:] - window[:2])
    if (crop < scales).any():
        raise ValueError(f"height {crop[1]:g} and width {crop[0]:g}")
    result: Boxes = (boxes.reshape(-1, 2, 2) * crop / scales).reshape(-1, 4)
    return result
