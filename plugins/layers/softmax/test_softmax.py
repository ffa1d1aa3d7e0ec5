"""Softmax beyond the conformance suite."""

import numpy as np

from cafx.conformance import layer_suite, run_layer

TestSoftmax = layer_suite("Softmax")


def test_probabilities_sum_to_one_along_the_axis() -> None:
    scores = np.random.default_rng(1).standard_normal((2, 5, 3))
    run = run_layer("Softmax", [scores])
    np.testing.assert_allclose(run.tops[0].sum(axis=1), 1, rtol=1e-6)


def test_scores_whose_exponentials_overflow_have_finite_probabilities() -> None:
    run = run_layer("Softmax", [[[1000.0, 999.0, -1000.0]]])
    np.testing.assert_allclose(run.tops[0], [[0.7310586, 0.2689414, 0]], rtol=1e-6)
