"""bilinear: interpolation weights for an upsampling Deconvolution."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance.kinds.filler import FillerCase


class Bilinear(Filler):
    """Every K×K plane is the interpolation kernel w(y, x) = (1 − |x/f − c|) (1 − |y/f − c|).

    Here f = ⌈K / 2⌉ and c = (K − 1) / (2 f). To enlarge each channel by a factor s, use a Deconvolution with
    kernel_size 2 s − s mod 2, stride s, pad ⌈(s − 1) / 2⌉, one group per channel, no bias and lr_mult 0.

    Raises:
        CafxError: the parameter does not have four axes, or its kernel is not square.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015.
    """

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """The same kernel for every pair of channels."""
        if len(shape) != 4 or shape[2] != shape[3]:
            found, expected = f"shape {shape_text(shape)}", "four axes, the last two of equal length"
            raise CafxError("filler 'bilinear' needs square kernels", found=found, expected=expected)
        size = shape[3]
        factor = (size + 1) // 2
        center = (size - 1) / (2 * factor) if factor else 0.0
        profile = 1 - np.abs(np.arange(size) / max(factor, 1) - center)
        return np.broadcast_to(np.outer(profile, profile), shape)

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """An even, an odd and a single kernel, and what is refused."""
        from cafx.conformance.kinds.filler import FillerCase

        even, odd = np.array([0.25, 0.75, 0.75, 0.25]), np.array([1, 2, 3, 2, 1]) / 3
        yield FillerCase("even", shape=(2, 3, 4, 4), values=np.outer(even, even), low=0, high=1)
        yield FillerCase("odd", shape=(1, 1, 5, 5), values=np.outer(odd, odd), low=0, high=1)
        yield FillerCase("single", shape=(3, 1, 1, 1), values=1.0)
        for name, shape in (("matrix", (2, 3)), ("three-axes", (2, 3, 4)), ("oblong", (1, 1, 3, 4))):
            yield FillerCase(name, shape=shape, error="square kernels")
