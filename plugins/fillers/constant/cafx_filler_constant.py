"""constant: all values equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Filler

if TYPE_CHECKING:
    from cafx.conformance.kinds.filler import FillerCase


class Constant(Filler):
    """Every value is the option ``value``."""

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """An array of ``value``."""
        return np.full(shape, self.options.value)

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """The default, and a value."""
        from cafx.conformance.kinds.filler import FillerCase

        yield FillerCase("zero", values=0.0)
        yield FillerCase("value", {"value": 0.1}, (2, 3), values=0.1, low=0.1, high=0.1)
