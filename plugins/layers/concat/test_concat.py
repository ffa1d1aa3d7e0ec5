"""Concat beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestConcat = layer_suite("Concat")


def test_an_axis_given_twice_is_refused() -> None:
    with pytest.raises(CafxError, match="twice"):
        run_layer("Concat", [np.ones((2, 3))], options={"axis": 1, "concat_dim": 1})


def test_bottoms_of_incompatible_shapes_are_refused() -> None:
    with pytest.raises(CafxError, match="shape mismatch"):
        run_layer("Concat", [np.ones((2, 3)), np.ones((3, 3))])
