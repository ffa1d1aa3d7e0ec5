"""xavier: uniformly distributed values scaled by the number of inputs or outputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Filler
from cafx_lib_filler import draw_in_chunks, fan


class Xavier(Filler):
    """Each value is drawn from U(−a, a) with a = √(3 / n), which has variance 1 / n.

    n is the fan selected by ``variance_norm``: FAN_IN, FAN_OUT or AVERAGE.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws."""
        bound = math.sqrt(3 / fan(self.options, shape))
        return draw_in_chunks(lambda count: rng.uniform(-bound, bound, count), shape)
