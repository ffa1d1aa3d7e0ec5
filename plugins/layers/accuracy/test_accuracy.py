"""Accuracy beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestAccuracy = layer_suite("Accuracy")


def test_a_tie_counts_against_the_label() -> None:
    run = run_layer("Accuracy", [[[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]], [0.0, 1.0]])
    assert run.tops[0] == 0.5


def test_a_class_without_labels_has_accuracy_zero() -> None:
    run = run_layer("Accuracy", [[[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]], [0.0, 2.0]], tops=2)
    np.testing.assert_array_equal(run.tops[1], [1, 0, 0])


def test_accuracy_is_zero_if_every_label_is_ignored() -> None:
    options = {"ignore_label": 1}
    run = run_layer("Accuracy", [np.ones((2, 3)), np.ones(2)], options=options, tops=2)
    assert run.tops[0] == 0
    assert not run.tops[1].any()
