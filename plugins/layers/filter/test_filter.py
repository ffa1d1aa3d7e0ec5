"""Filter beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestFilter = layer_suite("Filter")


def test_the_top_has_as_many_items_as_are_kept() -> None:
    run = run_layer("Filter", [np.arange(6.0).reshape(3, 2), np.array([0.0, 1, 0])])
    assert run.tops[0].tolist() == [[2, 3]]


def test_no_item_needs_to_be_kept() -> None:
    bottoms = [np.ones((3, 2)), np.zeros(3)]
    run = run_layer("Filter", bottoms, top_diffs=[np.ones((0, 2))])
    assert run.tops[0].shape == (0, 2)
    assert not run.bottom_diffs[0].any()
