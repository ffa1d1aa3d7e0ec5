"""CropCenter beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestCropCenter = layer_suite("CropCenter")


def test_as_much_is_cut_off_at_both_ends() -> None:
    x = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    run = run_layer("CropCenter", [x], options={"crop_size": [0, 1, 3]})
    np.testing.assert_array_equal(run.tops[0], x[:, 1:4, 3:4])


@pytest.mark.parametrize("margins", [[0, 1], [], [0, 0, 0, 0], [0, 0, 4], [1, 0, 0]])
def test_margins_that_do_not_fit_are_refused(margins: list[int]) -> None:
    with pytest.raises(CafxError, match=r"crop_size|nothing is left"):
        run_layer("CropCenter", [np.zeros((2, 5, 7))], options={"crop_size": margins})
