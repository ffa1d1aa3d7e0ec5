"""DummyData: its shapes and fillers."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import CafxError

TestEpochsOfDummyData = plugin_suite("data", "DummyData")

TestDummyData = layer_suite("DummyData")

SHAPE = {"dim": [2, 3]}


def test_each_forward_draws_new_random_values_and_leaves_constants() -> None:
    fillers = [{"type": "uniform"}, {"value": 2.0}]
    run = run_layer("DummyData", [], options={"shape": [SHAPE], "data_filler": fillers}, tops=2)
    run.net.blobs["top1"].mutable_data[...] = 7
    again = run.net.forward()
    assert (again["top0"] != run.tops[0]).all()
    assert (again["top1"] == 7).all()


@pytest.mark.parametrize(
    "options",
    [
        {"shape": [SHAPE] * 3},
        {"shape": [SHAPE], "data_filler": [{}] * 3},
        {"shape": [SHAPE], "num": [2], "channels": [3], "height": [1], "width": [1]},
        {"num": [2], "channels": [3], "height": [1]},
        {},
    ],
)
def test_the_number_of_shapes_and_fillers_must_match_the_tops(options: dict[str, object]) -> None:
    with pytest.raises(CafxError, match=r"shape|data_filler|width"):
        run_layer("DummyData", [], options=options, tops=2)


def test_a_single_shape_applies_to_every_top() -> None:
    run = run_layer("DummyData", [], options={"shape": [SHAPE]}, tops=2)
    assert [top.shape for top in run.tops] == [(2, 3), (2, 3)]
    assert not np.any(run.tops)


def test_the_error_for_one_top_names_a_single_expected_number() -> None:
    with pytest.raises(CafxError, match=r"got 2, expected 1$"):
        run_layer("DummyData", [], options={"shape": [SHAPE, SHAPE]})
