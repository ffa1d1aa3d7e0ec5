"""SigmoidCrossEntropyLoss beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer

TestSigmoidCrossEntropyLoss = layer_suite("SigmoidCrossEntropyLoss")


def test_a_large_wrong_score_does_not_overflow() -> None:
    run = run_layer("SigmoidCrossEntropyLoss", [[[1e4, -1e4]], [[0.0, 1.0]]], top_diffs=[np.ones(())])
    assert run.tops[0] == pytest.approx(2e4)
    np.testing.assert_allclose(run.bottom_diffs[0], [[1, -1]])


def test_the_default_normaliser_is_the_batch_size() -> None:
    run = run_layer("SigmoidCrossEntropyLoss", [np.zeros((2, 3)), np.zeros((2, 3))])
    assert run.tops[0] == pytest.approx(3 * np.log(2))
