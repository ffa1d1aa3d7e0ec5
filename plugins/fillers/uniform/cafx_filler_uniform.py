"""uniform: values drawn evenly between two bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx_filler_xavier import drawn


class Uniform(Filler):
    """Each value is drawn from U(min, max).

    Raises:
        CafxError: min is above max.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws, each of mean (min + max) / 2 and variance (max − min)² / 12."""
        low, high = self.options.min, self.options.max
        if low > high:
            raise CafxError(
                "filler 'uniform': min is above max", found=f"min: {low:g}, max: {high:g}",
                expected="min no greater than max",
            )  # fmt: skip
        return drawn(lambda count: rng.uniform(low, high, count), shape)
