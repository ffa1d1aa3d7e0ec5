"""Maps between the pixel coordinates of two blobs of a net, and the crop that aligns them.

A layer maps a coordinate x of its bottom to a·x + b in its top; maps of consecutive layers are composed.
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
    """A layer without a coordinate map."""


class AxisMismatchException(Exception):
    """Composition of maps over different axes."""


def conv_params(fn: Function) -> tuple[int, Numbers, Numbers, Numbers]:
    """Axis, stride, dilated kernel size and padding of a convolution or pooling layer.

    Raises:
        UndefinedMapException: the layer has no kernel size (global pooling).
    """
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
    """Axis and offset of a Crop layer."""
    options = {**fn.params.get("crop_param", {}), **fn.params}
    return options.get("axis", 2) - 1, np.array(options.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The map from a layer's bottom to its top.

    Returns:
        Axis (counted after the batch axis; None for any), scale a and shift b.

    Raises:
        UndefinedMapException: the layer has no coordinate map.
    """
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
    """The map that applies ``new``, then ``base``.

    Raises:
        AxisMismatchException: the maps are over different axes.
    """
    axis, scale, shift = base
    new_axis, new_scale, new_shift = new
    if axis is None:
        axis = new_axis
    elif new_axis is not None and axis != new_axis:
        raise AxisMismatchException
    return axis, scale * new_scale, scale * new_shift + shift


def inverse(coords: Map) -> Map:
    """The inverse map."""
    axis, scale, shift = coords
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map between two tops computed from a common blob: axis, scale, shift.

    Raises:
        RuntimeError: there is no common blob with maps to both.
    """
    maps_from = _maps_to(top_from)
    for common, map_to in _maps_to(top_to).items():
        if common in maps_from:
            return compose(map_to, inverse(maps_from[common]))
    raise RuntimeError("no blob from which both are computed, or no map to it")


def _maps_to(top: Top) -> dict[Top, Map]:
    """The maps to ``top`` from itself and from all blobs it is computed from, as far as they are defined."""
    maps: dict[Top, Map] = {top: (None, 1, 0)}
    frontier = [top]
    while frontier:
        current = frontier.pop()
        fn = current.fn
        bottoms = fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs
        for bottom in bottoms:
            try:
                composed = compose(maps[current], coord_map(fn))
            except UndefinedMapException:
                continue
            if bottom not in maps:
                maps[bottom] = composed
                frontier.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that aligns ``top_from`` with ``top_to``; computes the offset.

    Raises:
        AssertionError: the scale is not 1, or the offset is negative or not an integer.
    """
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
