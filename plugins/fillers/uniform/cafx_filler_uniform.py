"""uniform: uniformly distributed values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx_lib_filler import draw_in_chunks


class Uniform(Filler):
    """Each value is drawn from U(min, max).

    Raises:
        CafxError: min exceeds max, or one of them is not finite.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws."""
        low, high = self.options.min, self.options.max
        found = f"min: {low:g}, max: {high:g}"
        if not math.isfinite(high - low):
            raise CafxError("filler 'uniform': a bound is not finite", found=found, expected="finite numbers")
        if low > high:
            raise CafxError("filler 'uniform': min exceeds max", found=found, expected="min at most max")
        return draw_in_chunks(lambda count: rng.uniform(low, high, count), shape)
