"""positive_unitball: positive values with sum 1 per unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler

if TYPE_CHECKING:
    from cafx.conformance.kinds.filler import FillerCase


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

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """Units of many values, units of one, and what is refused."""
        from cafx.conformance.kinds.filler import FillerCase

        yield FillerCase("units", shape=(200, 50, 2, 1), mean=0.01, low=0, high=1)
        yield FillerCase("single", shape=(7, 1), values=1.0)
        yield FillerCase("scalar", shape=(), error="scalar")
