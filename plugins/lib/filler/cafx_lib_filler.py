"""Shared by random fillers: fan counts, and drawing in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, FillerParameter

CHUNK_VALUES = 1 << 20
"""Values per chunk."""


def fan(options: FillerParameter, shape: tuple[int, ...]) -> float:
    """The number n that a filler divides the variance by, as option ``variance_norm`` selects.

    FAN_IN: count / shape[0], the inputs per unit; FAN_OUT: count / shape[1], the outputs per input (for a
    blob of one axis, its count); AVERAGE: their mean. At least 1.

    Args:
        options: the filler's options.
        shape: shape of the parameter.

    Raises:
        CafxError: the parameter is a scalar.
    """
    if not shape:
        raise CafxError(f"filler '{options.type}' cannot fill a scalar", remedy="use filler 'constant'")
    inputs = math.prod(shape[1:])
    outputs = shape[0] * math.prod(shape[2:])
    norms = FillerParameter.VarianceNorm
    counts = {norms.FAN_IN: inputs, norms.FAN_OUT: outputs, norms.AVERAGE: (inputs + outputs) / 2}
    return max(1.0, counts[options.variance_norm])


def draw_in_chunks(draw: Callable[[int], npt.NDArray[Any]], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Independent values of a stream as float32, without a float64 copy of the whole.

    Args:
        draw: returns the next values of the stream, given their number.
        shape: shape of the parameter.
    """
    values = np.empty(math.prod(shape), np.float32)
    for start in range(0, values.size, CHUNK_VALUES):
        part = values[start : start + CHUNK_VALUES]
        part[...] = draw(part.size)
    return values.reshape(shape)
