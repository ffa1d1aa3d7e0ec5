"""xavier: uniformly distributed values scaled by the number of inputs or outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Filler, FillerParameter
from cafx_lib_filler import draw_in_chunks, fan

if TYPE_CHECKING:
    from cafx.conformance.kinds.filler import FillerCase


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

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """Every fan."""
        from cafx.conformance.kinds.filler import FillerCase

        norms = FillerParameter.VarianceNorm
        for norm, n in ((norms.FAN_IN, 90), (norms.FAN_OUT, 1800), (norms.AVERAGE, 945)):
            bound, shape = math.sqrt(3 / n), (200, 10, 3, 3)
            options = {"variance_norm": norm}
            yield FillerCase(norm.name, options, shape, mean=0.0, variance=1 / n, low=-bound, high=bound)
        yield FillerCase("scalar", shape=(), error="scalar")
