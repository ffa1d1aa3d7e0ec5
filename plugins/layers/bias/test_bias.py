"""Bias beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestBias = layer_suite("Bias")


def test_the_second_bottom_is_added_along_its_axes() -> None:
    run = run_layer("Bias", [np.zeros((2, 3, 2)), [1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(run.tops[0][1, :, 0], [1, 2, 3])


def test_an_operand_that_does_not_fit_is_refused_with_both_shapes() -> None:
    with pytest.raises(CafxError, match="got 4 against 2×3×4, expected 3"):
        run_layer("Bias", [np.zeros((2, 3, 4)), np.zeros(4)])
