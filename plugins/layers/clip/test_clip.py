"""Clip beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestClip = layer_suite("Clip")


def test_the_gradient_passes_at_both_bounds() -> None:
    x = np.array([-2.0, -1.0, 0.0, 2.0, 3.0])
    run = run_layer("Clip", [x], options={"min": -1.0, "max": 2.0}, top_diffs=[np.ones(5)])
    np.testing.assert_array_equal(run.tops[0], [-1, -1, 0, 2, 2])
    np.testing.assert_array_equal(run.bottom_diffs[0], [0, 1, 1, 1, 0])


@pytest.mark.parametrize("options", [{}, {"min": 2.0, "max": 1.0}])
def test_invalid_bounds_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(CafxError, match="min"):
        run_layer("Clip", [np.ones(3)], options=options)
