"""PReLU beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestPReLU = layer_suite("PReLU")


def test_slopes_are_initialised_to_a_quarter() -> None:
    run = run_layer("PReLU", [np.full((1, 3), -4.0)])
    assert run.layer.blobs[0].shape == (3,)
    np.testing.assert_array_equal(run.tops[0], np.full((1, 3), -1.0))


def test_a_shared_slope_is_a_scalar() -> None:
    x = np.array([[-1.0, 2.0], [-3.0, 0.0]])
    run = run_layer("PReLU", [x], options={"channel_shared": True}, top_diffs=[np.ones((2, 2))])
    assert run.layer.blobs[0].shape == ()
    assert run.param_diffs[0] == -4


def test_a_bottom_without_channels_is_refused() -> None:
    with pytest.raises(CafxError, match="axes"):
        run_layer("PReLU", [np.ones(3)])
