"""constant: all values equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Filler


class Constant(Filler):
    """Every value is ``value``."""

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """An array of ``value``."""
        return np.full(shape, self.options.value)
