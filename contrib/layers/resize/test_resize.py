"""Resize beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import CafxError

TestResize = layer_suite("Resize")


def test_the_last_row_and_column_darken() -> None:
    run = run_layer("Resize", [np.ones((1, 1, 2, 2))], options={"height": 4, "width": 2})
    np.testing.assert_array_equal(run.tops[0][0, 0], [[1, 1], [1, 1], [1, 1], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("options", "missing"),
    [({"height": 3}, "width"), ({"is_pyramid_test": True, "out_width_scale": 1.0}, "out_height_scale")],
)
def test_a_size_that_is_not_set_is_refused(options: dict[str, float], missing: str) -> None:
    with pytest.raises(CafxError, match=f"{missing} is missing"):
        run_layer("Resize", [np.ones((1, 1, 2, 2))], options=options)


def test_a_scale_that_leaves_nothing_is_refused() -> None:
    options = {"is_pyramid_test": True, "out_height_scale": 0.4, "out_width_scale": 1.0}
    with pytest.raises(CafxError, match="the top is empty"):
        run_layer("Resize", [np.ones((1, 1, 2, 2))], options=options)


TestRoutine = plugin_suite("engine.onednn", "Resize")
