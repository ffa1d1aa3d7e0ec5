"""Scale beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestScale = layer_suite("Scale")


def test_without_fillers_the_scale_is_one_and_the_bias_zero() -> None:
    layer = run_layer("Scale", [np.zeros((2, 3))], options={"bias_term": True}).layer
    np.testing.assert_array_equal(layer.blobs[0].host(), [1, 1, 1])
    np.testing.assert_array_equal(layer.blobs[1].host(), [0, 0, 0])


def test_a_scale_from_a_bottom_leaves_the_bias_as_the_only_parameter() -> None:
    run = run_layer("Scale", [np.ones((2, 3)), [1.0, 2.0, 3.0]], options={"bias_term": True})
    assert [blob.shape for blob in run.layer.blobs] == [(3,)]


def test_an_operand_that_does_not_fit_is_refused_with_both_shapes() -> None:
    with pytest.raises(CafxError, match="got 4 against 2×3×4, expected 3"):
        run_layer("Scale", [np.zeros((2, 3, 4)), np.zeros(4)])
