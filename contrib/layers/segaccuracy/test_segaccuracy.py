"""SegAccuracy beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestSegAccuracy = layer_suite("SegAccuracy")

BEST = np.array([0, 1, 1, 2, 0, 2])
SCORES = np.eye(4)[BEST]
LABELS = np.array([0.0, 1, 2, 2, 1, 255])
IGNORING = {"ignore_label": 255}
TOLERANCE = 1e-6


def test_the_three_accuracies_are_as_defined() -> None:
    run = run_layer("SegAccuracy", [SCORES, LABELS], options=IGNORING)
    # label 0: 1 hit of 1, predicted twice; 1: 1 of 2, predicted twice; 2: 1 of 2, predicted once; 3: neither
    expected = [3 / 5, (1 + 1 / 2 + 1 / 2) / 3, (1 / 2 + 1 / 3 + 1 / 2 + 1) / 4]
    np.testing.assert_allclose(run.tops[0].ravel(), expected, rtol=TOLERANCE)
    assert run.tops[0].shape == (1, 1, 1, 3)


def test_of_equal_scores_the_last_is_the_best() -> None:
    run = run_layer("SegAccuracy", [np.ones((1, 3)), [2.0]])
    assert run.tops[0].ravel()[0] == 1


def test_if_nothing_is_counted_only_intersection_over_union_is_one() -> None:
    run = run_layer("SegAccuracy", [np.ones((2, 3)), np.full(2, 255.0)], options=IGNORING)
    np.testing.assert_array_equal(run.tops[0].ravel(), [0, 0, 1])


@pytest.mark.parametrize(("reset", "accuracy"), [(True, 0.0), (False, 0.5)])
def test_without_reset_all_batches_count(reset: bool, accuracy: float) -> None:
    net = run_layer("SegAccuracy", [np.eye(2), [0.0, 1.0]], options={"reset": reset}).net
    labels, (result,) = net.inputs[1], net.outputs
    again = net.forward(**{labels: np.array([1.0, 0.0])})[result]
    assert again.ravel()[0] == accuracy


def test_a_label_that_is_neither_a_class_nor_ignored_is_refused() -> None:
    with pytest.raises(CafxError, match="a label is not a class index"):
        run_layer("SegAccuracy", [SCORES, LABELS], options={"ignore_label": 254})
