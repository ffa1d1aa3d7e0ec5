"""ReLU6 beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import registry

TestReLU6 = layer_suite("ReLU6")


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_the_gradient_at_the_kinks_is_that_of_the_outer_side(slope: float) -> None:
    x, dy = np.array([-1, 0, 3, 6, 7], np.float32), np.ones(5, np.float32)
    run = run_layer("ReLU6", [x], options={"negative_slope": slope}, top_diffs=[dy])
    assert run.tops[0].tolist() == [-slope, 0, 3, 6, 6]
    assert run.bottom_diffs[0].tolist() == [slope, slope, 1, 0, 0]


def test_onednn_has_a_routine_that_agrees_at_the_kinks() -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    x = np.array([-1e-40, -0.0, 0, 1e-40, 1e-30, 3, np.nextafter(6, 0), 6, np.inf, -np.inf, np.nan] * 5, np.float32)
    found, expected = (
        run_layer("ReLU6", [x], top_diffs=[np.full_like(x, 2)], engine=engine) for engine in ("onednn", "numpy")
    )
    assert found.net.program.parts[-1].run_by == "onednn"
    np.testing.assert_array_equal(found.tops[0], expected.tops[0])
    np.testing.assert_array_equal(found.bottom_diffs[0], expected.bottom_diffs[0])
