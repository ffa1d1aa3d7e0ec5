"""constant: one value everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler


class Constant(Filler):
    """Every value is ``value``."""

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """An array of ``value``."""
        if self.options.sparse != -1:
            raise CafxError("filler 'constant' has no sparse form", found=f"sparse: {self.options.sparse}")
        return np.full(shape, self.options.value)
