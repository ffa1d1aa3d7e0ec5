"""Reshape beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestReshape = layer_suite("Reshape")


def test_data_and_diff_are_shared_with_the_bottom() -> None:
    run = run_layer("Reshape", [np.ones((2, 3))], options={"shape": {"dim": [6]}})
    bottom, top = run.net.bottoms[-1][0], run.net.tops[-1][0]
    assert top.synced_data is bottom.synced_data
    assert top.synced_diff is bottom.synced_diff


def test_an_axis_is_inferred_for_an_empty_batch() -> None:
    run = run_layer("Reshape", [np.ones((0, 3, 4))], options={"shape": {"dim": [0, -1]}})
    assert run.tops[0].shape == (0, 12)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"shape": {"dim": [-1, -1]}}, "only one axis"),
        ({"shape": {"dim": [-2, 3]}}, "negative"),
        ({"shape": {"dim": [2, 3, 0]}}, "no axis to copy"),
        ({"shape": {"dim": [5, -1]}}, "cannot infer"),
        ({"shape": {"dim": [5]}}, "number of values"),
        ({"shape": {"dim": [6]}, "axis": 3}, "does not have these axes"),
    ],
)
def test_an_incompatible_shape_is_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(CafxError, match=problem):
        run_layer("Reshape", [np.ones((2, 3))], options=options)
