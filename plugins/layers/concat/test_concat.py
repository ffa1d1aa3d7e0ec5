"""What the shared suite cannot know of Concat."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestConcat = layer_suite("Concat")


def test_the_axis_is_stated_once() -> None:
    with pytest.raises(CafxError, match="twice"):
        run_layer("Concat", [np.ones((2, 3))], options={"axis": 1, "concat_dim": 1})


def test_bottoms_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CafxError, match="does not fit"):
        run_layer("Concat", [np.ones((2, 3)), np.ones((3, 3))])
