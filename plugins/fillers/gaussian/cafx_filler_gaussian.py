"""gaussian: normally distributed values, optionally sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx_filler_xavier import drawn


class Gaussian(Filler):
    """Each value is drawn from N(mean, std²).

    With ``sparse: s`` each value is kept with probability s / shape[0] and zero otherwise, so that
    each input feeds s units on average (all, for the default of −1).

    Raises:
        CafxError: std is not positive, or sparse does not lie between 0 and the number of units.
    """

    takes_sparse = True

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws, then a mask if they are to be sparse."""
        options = self.options
        if not options.std > 0:
            raise CafxError(
                "filler 'gaussian'", found=f"std: {options.std:g}", expected="std above 0",
                remedy="use filler 'constant' for values that are all alike",
            )  # fmt: skip
        values = drawn(lambda count: rng.normal(options.mean, options.std, count), shape)
        if options.sparse != -1:
            units = shape[0] if shape else 0
            if not 0 <= options.sparse <= units:
                raise CafxError(
                    "filler 'gaussian'", found=f"sparse: {options.sparse}",
                    expected=f"sparse from 0 to {units}, the length of the first axis, or -1",
                )  # fmt: skip
            values *= rng.random(shape) < options.sparse / max(units, 1)
        return values
