"""bilinear: the kernel, value by value."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_bilinear import Bilinear


def filled(*shape: int) -> np.ndarray:
    return Bilinear(FillerParameter(type="bilinear")).fill(shape, np.random.default_rng(1))


def test_an_even_kernel_matches_the_formula() -> None:
    profile = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(filled(2, 3, 4, 4), np.broadcast_to(np.outer(profile, profile), (2, 3, 4, 4)))


def test_an_odd_kernel_peaks_at_one() -> None:
    profile = np.array([1, 2, 3, 2, 1]) / 3
    np.testing.assert_allclose(filled(1, 1, 5, 5)[0, 0], np.outer(profile, profile))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (1, 1, 3, 4), (1, 1, 1, 2, 2)])
def test_parameters_without_square_kernels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CafxError, match="square kernels"):
        filled(*shape)
