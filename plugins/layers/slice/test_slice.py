"""What the shared suite cannot know of Slice."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestSlice = layer_suite("Slice")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"axis": 1, "slice_dim": 1}, "twice"),
        ({"slice_point": [1, 2]}, "between each two tops"),
        ({"slice_point": [0]}, "rise"),
        ({"slice_point": [9]}, "beyond the end"),
        ({}, "equal pieces"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(CafxError, match=problem):
        run_layer("Slice", [np.ones((2, 5))], options=options, tops=2)
