"""Weights of an interpolation along one axis."""

import numpy as np

from cafx_lib_interpolation import weights


def test_a_neighbour_beyond_the_border_adds_nothing() -> None:
    matrix = weights(3, np.array([0, 2]), np.array([0.25, 0.5]))
    np.testing.assert_array_equal(matrix, [[0.75, 0.25, 0], [0, 0, 0.5]])
