"""uniform: uniformly distributed values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx_lib_filler import draw_in_chunks

if TYPE_CHECKING:
    from cafx.conformance.kinds.filler import FillerCase


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

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """Ranges, and what is refused."""
        from cafx.conformance.kinds.filler import FillerCase

        yield FillerCase("default", mean=0.5, variance=1 / 12, low=0, high=1)
        yield FillerCase("range", {"min": -2.0, "max": 0.5}, mean=-0.75, variance=2.5**2 / 12, low=-2, high=0.5)
        yield FillerCase("equal", {"min": 0.25, "max": 0.25}, values=0.25)
        yield FillerCase("swapped", {"min": 1.0, "max": 0.0}, error="min exceeds max")
        yield FillerCase("infinite", {"min": -math.inf}, error="not finite")
        yield FillerCase("nan", {"max": math.nan}, error="not finite")
