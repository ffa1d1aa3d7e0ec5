"""Slice beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestSlice = layer_suite("Slice")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"axis": 1, "slice_dim": 1}, "twice"),
        ({"slice_point": [1, 2]}, "number of slice points"),
        ({"slice_point": [0]}, "must increase"),
        ({"slice_point": [9]}, "beyond the end"),
        ({}, "equal parts"),
    ],
)
def test_invalid_slices_are_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(CafxError, match=problem):
        run_layer("Slice", [np.ones((2, 5))], options=options, tops=2)
