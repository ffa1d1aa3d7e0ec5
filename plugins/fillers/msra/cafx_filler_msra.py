"""msra: normally distributed values scaled for rectified units."""

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


class MSRA(Filler):
    """Each value is drawn from N(0, 2 / n), which preserves variance through ReLU layers.

    n is the fan selected by ``variance_norm``: FAN_IN, FAN_OUT or AVERAGE.

    Source: He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet
    Classification", 2015.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws."""
        deviation = math.sqrt(2 / fan(self.options, shape))
        return draw_in_chunks(lambda count: rng.normal(0, deviation, count), shape)

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """Every fan."""
        from cafx.conformance.kinds.filler import FillerCase

        norms = FillerParameter.VarianceNorm
        for norm, n in ((norms.FAN_IN, 90), (norms.FAN_OUT, 1800), (norms.AVERAGE, 945)):
            yield FillerCase(norm.name, {"variance_norm": norm}, (200, 10, 3, 3), mean=0.0, variance=2 / n)
        yield FillerCase("scalar", shape=(), error="scalar")
