"""xavier: even values scaled by the number of inputs or outputs; `fan` counts those."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler, FillerParameter


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


class Xavier(Filler):
    """Each value is drawn from U(−a, a), a = √(3 / n), which has the variance 1 / n.

    n is the fan that ``variance_norm`` names: FAN_IN, FAN_OUT or AVERAGE.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws."""
        bound = math.sqrt(3 / fan(self.options, shape))
        return rng.uniform(-bound, bound, shape)
