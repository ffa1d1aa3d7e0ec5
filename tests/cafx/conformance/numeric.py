"""Derivatives by central differences, where there are any."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

STEP = 1e-4
TOLERANCE = 2e-3  # of a difference over STEP, relative to the gradient or to 1
ROUNDING = 16 * np.finfo(np.float64).eps / STEP  # of a difference, relative to the objective


def derivative(objective: Callable[[], float], values: npt.NDArray[np.float64], position: int) -> float | None:
    """How fast ``objective()`` grows with ``values[position]``; the value is put back.

    None where the differences over two steps disagree, as they do at a kink, or are lost in rounding.
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
    """How far two gradients of such a size may be apart."""
    return TOLERANCE * max(1.0, *map(abs, gradients))
