"""What the shared suite cannot know of Input."""

import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestInput = layer_suite("Input")


def test_how_many_shapes_are_expected_is_said_once() -> None:
    with pytest.raises(CafxError, match=r"got 2, expected 1$"):
        run_layer("Input", [], options={"shape": [{"dim": [2]}, {"dim": [3]}]})
