"""gaussian: normally distributed values, optionally sparse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx_lib_filler import draw_in_chunks

if TYPE_CHECKING:
    from cafx.conformance.kinds.filler import FillerCase


class Gaussian(Filler):
    """Each value is drawn from N(mean, std²).

    With ``sparse: s``, each value is kept with probability s / shape[0], else 0: on average each input is
    connected to s units. The default −1 keeps all values.

    Raises:
        CafxError: std is not positive, or sparse is neither -1 nor from 0 to the number of units.
    """

    takes_sparse = True

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Independent draws, masked if ``sparse`` is set."""
        options = self.options
        if not options.std > 0:
            remedy = "use filler 'constant' for equal values"
            raise CafxError("filler 'gaussian'", found=f"std: {options.std:g}", expected="std above 0", remedy=remedy)
        values = draw_in_chunks(lambda count: rng.normal(options.mean, options.std, count), shape)
        if options.sparse != -1:
            units = shape[0] if shape else 0
            if not 0 <= options.sparse <= units:
                expected = f"sparse from 0 to {units}, the length of the first axis, or -1"
                raise CafxError("filler 'gaussian'", found=f"sparse: {options.sparse}", expected=expected)
            values *= rng.random(shape) < options.sparse / max(units, 1)
        return values

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """Mean and deviation, sparse forms, and what is refused."""
        from cafx.conformance.kinds.filler import FillerCase

        yield FillerCase("default", mean=0.0, variance=1.0)
        yield FillerCase("shifted", {"mean": 0.5, "std": 0.1}, mean=0.5, variance=0.01)
        yield FillerCase("sparse", {"sparse": 5}, (50, 400), mean=0.0, variance=0.1)
        yield FillerCase("nothing-kept", {"sparse": 0}, (3, 4), values=0.0)
        yield FillerCase("all-kept", {"sparse": 50, "std": 2.0}, (50, 400), mean=0.0, variance=4.0)
        yield FillerCase("no-deviation", {"std": 0.0}, error="std")
        yield FillerCase("negative-deviation", {"std": -1.0}, error="std")
        yield FillerCase("too-many", {"sparse": 4}, (3, 4), error="sparse")
        yield FillerCase("negative-number", {"sparse": -2}, (3, 4), error="sparse")
