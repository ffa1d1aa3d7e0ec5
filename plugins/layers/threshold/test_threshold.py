"""What the shared suite cannot know of Threshold."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestThreshold = layer_suite("Threshold")


def test_the_threshold_itself_is_not_above_it() -> None:
    run = run_layer("Threshold", [np.array([0.25, 0.5, 0.75])], options={"threshold": 0.5})
    np.testing.assert_array_equal(run.tops[0], [0, 0, 1])
