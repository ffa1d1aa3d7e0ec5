"""positive_unitball: positive values that sum to one for each unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler


class PositiveUnitball(Filler):
    """Values of U(0, 1), divided by their sum over each unit (each index of the first axis).

    So Σⱼ wᵢⱼ = 1 for every unit i.

    Raises:
        CafxError: the parameter is a scalar, which has no units.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Draws, normalised unit by unit."""
        if not shape:
            raise CafxError("filler 'positive_unitball' cannot fill a scalar", remedy="use 'constant'")
        # 1 − [0, 1) is never 0, so that no unit's sum is
        values = 1 - rng.random(shape)
        values /= values.sum(axis=tuple(range(1, len(shape))), keepdims=True)
        return values
