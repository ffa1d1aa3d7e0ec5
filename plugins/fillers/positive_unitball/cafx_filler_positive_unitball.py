"""positive_unitball: positive values with sum 1 per unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler


class PositiveUnitball(Filler):
    """Values are drawn from U(0, 1) and divided by the sum over their unit: Σⱼ wᵢⱼ = 1 for every unit i.

    A unit is an index of the first axis.

    Raises:
        CafxError: the parameter is a scalar.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws, normalised per unit."""
        if not shape:
            raise CafxError("filler 'positive_unitball' cannot fill a scalar", remedy="use filler 'constant'")
        # 1 − [0, 1) is never 0, so no unit has sum 0
        values = 1 - rng.random(shape)
        values /= values.sum(axis=tuple(range(1, len(shape))), keepdims=True)
        return values
