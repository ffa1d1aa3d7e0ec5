"""Softmax as a function."""

import numpy as np

from cafx_lib_softmax import softmax


def test_it_may_be_computed_in_place_along_any_axis() -> None:
    scores = np.random.default_rng(2).standard_normal((2, 5, 3))
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    softmax(np, scores, scores, axis=1)
    np.testing.assert_allclose(scores, expected)
