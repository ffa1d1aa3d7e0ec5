"""How the pixels of one blob of a net lie over those of another, and the crop that aligns them.

A layer takes a coordinate x of its bottom to a x + b in its top; along a path the maps compose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.net_spec import Function, Top, layers

PASS_THROUGH = (
    "AbsVal",
    "ReLU",
    "PReLU",
    "ELU",
    "Dropout",
    "LRN",
    "Eltwise",
    "BatchNorm",
    "BNLL",
    "Log",
    "Exp",
    "MVN",
    "Power",
    "Sigmoid",
    "Split",
    "TanH",
    "Scale",
    "Bias",
    "Swish",
    "Clip",
    "Threshold",
)
WINDOWED = ("Convolution", "Pooling", "Im2col")
Numbers = npt.NDArray[np.float64]
Map = tuple[int | None, Any, Any]


class UndefinedMapException(Exception):
    """A layer whose coordinates cannot be followed."""


class AxisMismatchException(Exception):
    """Maps over different axes."""


def conv_params(fn: Function) -> tuple[int, Numbers, Numbers, Numbers]:
    """First spatial axis, stride, extent of the kernel and padding of a layer with a window."""
    holder = "pooling_param" if fn.type_name == "Pooling" else "convolution_param"
    options = {**fn.params.get(holder, {}), **fn.params}
    kernel = _pair(options, "kernel_size", "kernel_h", "kernel_w")
    stride = _pair(options, "stride", "stride_h", "stride_w", 1)
    padding = _pair(options, "pad", "pad_h", "pad_w", 0)
    dilation = np.array(options.get("dilation", 1), ndmin=1)
    return options.get("axis", 1), stride, (kernel - 1) * dilation + 1, padding


def _pair(options: Mapping[str, Any], name: str, high: str, wide: str, default: Any = None) -> Numbers:
    if high in options or wide in options:
        return np.array([options.get(high, default), options.get(wide, default)], ndmin=1)
    if options.get(name, default) is None:
        raise UndefinedMapException(f"no {name}: the map of a global window is not defined")
    return np.array(options.get(name, default), ndmin=1)


def crop_params(fn: Function) -> tuple[int, Numbers]:
    """The axis and the offset of a crop."""
    options = {**fn.params.get("crop_param", {}), **fn.params}
    return options.get("axis", 2) - 1, np.array(options.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """Axis (after the batch's), scale and shift from a layer's bottom to its top."""
    if fn.type_name in WINDOWED:
        axis, stride, extent, padding = conv_params(fn)
        return axis, 1 / stride, (padding - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, padding = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - padding
    if fn.type_name in PASS_THROUGH:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis, 1, -offset
    raise UndefinedMapException(fn.type_name)


def compose(base: Map, new: Map) -> Map:
    """``base`` after ``new``."""
    axis, scale, shift = base
    new_axis, new_scale, new_shift = new
    if axis is None:
        axis = new_axis
    elif new_axis is not None and axis != new_axis:
        raise AxisMismatchException
    return axis, scale * new_scale, scale * new_shift + shift


def inverse(coords: Map) -> Map:
    """The map the other way round."""
    axis, scale, shift = coords
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map between two tops that come from one blob: axis, scale, shift."""
    down_from = _maps_down(top_from)
    for common, down_to in _maps_down(top_to).items():
        if common in down_from:
            return compose(down_to, inverse(down_from[common]))
    raise RuntimeError("no blob from which both are computed, or no map to it")


def _maps_down(top: Top) -> dict[Top, Map]:
    """The map to ``top`` from itself and every blob below it, as far as maps are defined."""
    maps: dict[Top, Map] = {top: (None, 1, 0)}
    frontier = [top]
    while frontier:
        current = frontier.pop()
        fn = current.fn
        bottoms = fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs
        for bottom in bottoms:
            try:
                reached = compose(maps[current], coord_map(fn))
            except UndefinedMapException:
                continue
            if bottom not in maps:
                maps[bottom] = reached
                frontier.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop of ``top_from`` that lies over ``top_to``, its offset worked out."""
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    assert (scale == 1).all(), f"scale mismatch on crop (a = {scale})"
    assert (shift <= 0).all(), f"cannot crop negative offset (b = {shift})"
    assert (np.round(shift) == shift).all(), f"cannot crop noninteger offset (b = {shift})"
    cropped: Top = layers.Crop(
        top_from,
        top_to,
        crop_param={"axis": (axis or 0) + 1, "offset": [round(-value) for value in np.atleast_1d(shift)]},
    )
    return cropped
