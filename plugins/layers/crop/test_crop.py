"""Crop beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestCrop = layer_suite("Crop")


def test_further_axes_of_the_second_bottom_are_ignored() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    run = run_layer("Crop", [x, np.zeros((1, 2, 3, 5))], options={"axis": 1, "offset": [1]})
    np.testing.assert_array_equal(run.tops[0], x[:, 1:3, 1:4])


def test_a_second_bottom_with_fewer_axes_is_refused() -> None:
    with pytest.raises(CafxError, match="crop does not fit"):
        run_layer("Crop", [np.zeros((2, 3, 4)), np.zeros((1, 2))], options={"axis": 1})
