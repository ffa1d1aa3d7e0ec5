"""ContinuationIndicator beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestContinuationIndicator = layer_suite("ContinuationIndicator")


def test_only_first_steps_start_a_sequence() -> None:
    run = run_layer("ContinuationIndicator", [np.zeros((2, 5))], options={"time_step": 3, "batch_size": 7})
    np.testing.assert_array_equal(run.tops[0], [[0, 0], [1, 1], [1, 1]])


@pytest.mark.parametrize(
    ("bottoms", "options"), [([], {"time_step": 3}), ([], {"batch_size": 3}), ([np.zeros((2, 5))], {"batch_size": 2})]
)
def test_sizes_have_to_be_known(bottoms: list[Any], options: dict[str, Any]) -> None:
    with pytest.raises(CafxError, match="is missing"):
        run_layer("ContinuationIndicator", bottoms, options=options)
