"""Input: its shapes."""

import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import CafxError

TestEpochsOfInput = plugin_suite("data", "Input")

TestInput = layer_suite("Input")


def test_the_error_for_one_top_names_a_single_expected_number() -> None:
    with pytest.raises(CafxError, match=r"got 2, expected 1$"):
        run_layer("Input", [], options={"shape": [{"dim": [2]}, {"dim": [3]}]})
