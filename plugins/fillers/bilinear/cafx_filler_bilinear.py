"""bilinear: interpolation weights for an upsampling Deconvolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Filler
from cafx.kernel.blob import shape_text


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
