"""What the shared suite cannot know of Crop."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestCrop = layer_suite("Crop")


def test_the_second_bottom_may_have_more_axes_than_are_looked_at() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    run = run_layer("Crop", [x, np.zeros((1, 2, 3, 5))], options={"axis": 1, "offset": [1]})
    np.testing.assert_array_equal(run.tops[0], x[:, 1:3, 1:4])


def test_the_second_bottom_must_not_have_fewer() -> None:
    with pytest.raises(CafxError, match="cannot cut a piece"):
        run_layer("Crop", [np.zeros((2, 3, 4)), np.zeros((1, 2))], options={"axis": 1})
