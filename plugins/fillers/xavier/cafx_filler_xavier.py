"""xavier: even values scaled by the number of inputs or outputs; `fan` counts those, `drawn` draws them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler, FillerParameter

AT_ONCE = 1 << 20
"""Values drawn at a time."""


def fan(options: FillerParameter, shape: tuple[int, ...]) -> float:
    """What the variance of a parameter of ``shape`` is divided by, as ``variance_norm`` says.

    FAN_IN: values / shape[0], the inputs of a unit; FAN_OUT: values / shape[1], the outputs of an
    input (all values of a blob of one axis); AVERAGE: the mean of the two. At least 1.

    Raises:
        CafxError: the parameter is a scalar, which has neither.
    """
    if not shape:
        raise CafxError(f"filler '{options.type}' cannot fill a scalar", remedy="use filler 'constant'")
    inputs = math.prod(shape[1:])
    outputs = shape[0] * math.prod(shape[2:])
    norms = FillerParameter.VarianceNorm
    counted = {norms.FAN_IN: inputs, norms.FAN_OUT: outputs, norms.AVERAGE: (inputs + outputs) / 2}[
        options.variance_norm
    ]
    return max(1.0, counted)


def drawn(draw: Callable[[int], npt.NDArray[Any]], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """So many independent values of a stream, some at a time, for these come in twice float32's size.

    Args:
        draw: gives the stream's next values, as many as it is told.
        shape: of the parameter.
    """
    values = np.empty(math.prod(shape), np.float32)
    for start in range(0, values.size, AT_ONCE):
        part = values[start : start + AT_ONCE]
        part[...] = draw(part.size)
    return values.reshape(shape)


class Xavier(Filler):
    """Each value is drawn from U(−a, a), a = √(3 / n), which has the variance 1 / n.

    n is the fan that ``variance_norm`` names: FAN_IN, FAN_OUT or AVERAGE.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws."""
        bound = math.sqrt(3 / fan(self.options, shape))
        return drawn(lambda count: rng.uniform(-bound, bound, count), shape)
