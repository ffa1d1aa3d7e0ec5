"""Numeric derivatives by central differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

STEP = 1e-4
TOLERANCE = 2e-3  # of a central difference over STEP, relative to the gradient or to 1
ROUNDING = 16 * np.finfo(np.float64).eps / STEP  # rounding error of a difference, relative to the objective


def derivative(objective: Callable[[], float], values: npt.NDArray[np.float64], position: int) -> float | None:
    """The derivative of an objective with respect to one of the values it reads.

    Args:
        objective: computes the objective from ``values``.
        values: a flat array; restored afterwards.
        position: the index of the value.

    Returns:
        The derivative; None if the differences over two step sizes disagree, as they do at a kink, or
        are lost in rounding errors.
    """
    start = values[position]
    estimates, largest = [], 0.0
    for step in (STEP, STEP / 2):
        values[position] = start + step
        above = objective()
        values[position] = start - step
        below = objective()
        estimates.append((above - below) / (2 * step))
        largest = max(largest, abs(above), abs(below))
    values[position] = start
    wide, narrow = estimates
    allowed = allowance(narrow) / 4
    return narrow if abs(wide - narrow) <= allowed and largest * ROUNDING <= allowed else None


def allowance(*gradients: float) -> float:
    """The allowed difference between two gradients of this size."""
    return TOLERANCE * max(1.0, *map(abs, gradients))
