"""What the values of a `Preprocessing` may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.files import shown

ANTIALIAS, BILINEAR = "antialias", "bilinear"
RESIZES = {
    ANTIALIAS: "smoothed before it is reduced, as pycaffe and scikit-image do",
    BILINEAR: "OpenCV's bilinear interpolation, as Caffe's tools and data layers do",
}
CHANNELS = {"BGR": 3, "RGB": 3, "gray": 1}
LAYOUTS = ("CHW", "HWC")
MOST_SIDE, MOST_LABELS, MOST_TEXT, MOST_CHANNELS = 1 << 14, 1 << 20, 4096, 3
TEN = 10
"""Crops of an oversampled image: corners and centre, and their mirror images."""


def is_size(_: Any, attribute: Any, value: Any) -> None:
    """Check a height and a width, or None."""
    if value is None:
        return
    if not (isinstance(value, tuple) and len(value) == 2 and all(type(side) is int for side in value)):
        raise CafxError(f"preprocessing: {attribute.name} is not a height and a width", found=_short(value))
    if not all(1 <= side <= MOST_SIDE for side in value):
        found, expected = "×".join(map(str, value)), f"sides from 1 to {MOST_SIDE}"
        raise CafxError(f"preprocessing: {attribute.name} is out of range", found=found, expected=expected)


def is_one_of(known: Sequence[str]) -> Any:
    """A check that a value is one of the known ones."""

    def check(_: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, str) or value not in known:
            expected = f"one of {', '.join(known)}"
            raise CafxError(f"preprocessing: unknown {attribute.name}", found=_short(value), expected=expected)

    return check


def is_mean(record: Any, attribute: Any, value: Any) -> None:
    """Check numbers, an image or the name of a file."""
    if isinstance(value, tuple):
        _check_numbers(attribute.name, value, record.depth)
    elif value is not None and not (isinstance(value, np.ndarray) or is_name(value)):
        raise CafxError("preprocessing: mean is neither numbers nor the name of a file", found=_short(value))


def is_scale(record: Any, attribute: Any, value: Any) -> None:
    """Check numbers."""
    _check_numbers(attribute.name, value if isinstance(value, tuple) else (value,), record.depth)


def _check_numbers(name: str, values: tuple[Any, ...], depth: int) -> None:
    if not all(isinstance(each, (int, float)) and type(each) is not bool and _is_finite(each) for each in values):
        raise CafxError(f"preprocessing: {name} is not finite numbers", found=_short(values))
    if len(values) not in (1, depth):
        expected = f"1 or {depth}, one per channel"
        raise CafxError(f"preprocessing: wrong number of values of {name}", found=len(values), expected=expected)


def _is_finite(value: float) -> bool:
    return abs(value) <= float(np.finfo(np.float32).max) and math.isfinite(value)


def is_flag(_: Any, attribute: Any, value: Any) -> None:
    """Check true or false."""
    if type(value) is not bool:
        raise CafxError(f"preprocessing: {attribute.name} is neither true nor false", found=_short(value))


def is_labels(_: Any, __: Any, value: Any) -> None:
    """Check names, or the name of a file."""
    if value is None or is_name(value):
        return
    if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
        raise CafxError("preprocessing: labels are neither names nor the name of a file", found=_short(value))
    if len(value) > MOST_LABELS or any(len(each) > MOST_TEXT for each in value):
        raise CafxError("preprocessing: labels are too many or too long", expected=f"at most {MOST_LABELS} names")


def is_name(value: Any) -> bool:
    """Whether a value may be the name of a file."""
    return isinstance(value, str) and 0 < len(value) <= MOST_TEXT and "\0" not in value


def _short(value: Any) -> str:
    return shown(repr(value)[:80])


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays included."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
